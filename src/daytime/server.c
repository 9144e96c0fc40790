/* SPDX-License-Identifier: MIT */
/* Theory of operation
 *
 * One round: wait for events until the next deadline, handle them, then whatever is due. The epoll
 * knows the listener, a signalfd, and every connection whose FIN is sent. A connection that is
 * kept or held is in no epoll and is never read, so that its socket shows what it is: CLOSE_WAIT,
 * with the client's FIN unread.
 *
 * Every wait has an end: a hold's, a drain's, a pause's of the listener, the stop's.
 */
#include "daytime/server.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "daytime/accept.h"
#include "daytime/serve.h"

#define EVENTS_AT_ONCE 64
#define ACCEPT_AT_ONCE 64
/* epoll data above every table index */
#define TAG_LISTENER (1ULL << 32)
#define TAG_SIGNALS  (2ULL << 32)

static const int64_t LONGEST_WAIT_MS = 3600000; /* one hour: epoll_wait() takes an int */
static const int64_t PAUSE_NS = 100 * CLOCK_NS_PER_MS;

static int watch(struct server *s, int fd, uint64_t tag, int op, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.u64 = tag };

	return epoll_ctl(s->epoll, op, fd, &ev) < 0 ? -errno : 0;
}

static int open_signals(void)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaddset(&set, numbers[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return -errno;
	int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int server_open(struct server *s, const struct server_config *c, int listener, struct log *log,
		struct counters *count, struct err *e)
{
	int r;

	*s = (struct server){ .config = c, .log = log, .count = count, .listener = listener };
	s->epoll = s->signals = -1;
	if (conns_open(&s->conns, c->max_connections) < 0)
		return err_set(e, -ENOMEM, "no memory for %u connections", c->max_connections);
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll < 0) {
		r = err_errno(e, -errno, "epoll");
		goto fail;
	}
	s->signals = open_signals();
	if (s->signals < 0) {
		r = err_errno(e, s->signals, "signals");
		goto fail;
	}
	r = watch(s, s->signals, TAG_SIGNALS, EPOLL_CTL_ADD, EPOLLIN);
	if (r == 0)
		r = watch(s, listener, TAG_LISTENER, EPOLL_CTL_ADD, EPOLLIN);
	if (r < 0) {
		err_errno(e, r, "epoll_ctl");
		goto fail;
	}
	return 0;
fail:
	server_close(s);
	return r;
}

void server_close(struct server *s)
{
	for (uint32_t i = 0; i < s->conns.size; i++)
		if (s->conns.slot[i].queue != CONN_FREE)
			close(s->conns.slot[i].fd);
	conns_free(&s->conns);
	if (s->epoll >= 0)
		close(s->epoll);
	if (s->signals >= 0)
		close(s->signals);
	s->epoll = s->signals = -1;
}

static void pause_listener(struct server *s)
{
	if (watch(s, s->listener, TAG_LISTENER, EPOLL_CTL_MOD, 0) < 0)
		return;
	s->paused = true;
	s->resume_at = s->now + PAUSE_NS;
}

static void resume_listener(struct server *s)
{
	if (watch(s, s->listener, TAG_LISTENER, EPOLL_CTL_MOD, EPOLLIN) == 0)
		s->paused = false;
}

/* Accepts what waits, at most one round's share. */
static int accept_some(struct server *s, struct err *e)
{
	for (int n = 0; n < ACCEPT_AT_ONCE; n++) {
		int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		int error = errno;

		if (fd >= 0) {
			s->count->accepted++;
			serve_new(s, fd);
			continue;
		}
		switch (accept_classify(error)) {
		case ACCEPT_NONE:
			return 0;
		case ACCEPT_GO_ON:
			s->count->accept_errors++;
			break;
		case ACCEPT_STOP:
			return err_errno(e, -error, "cannot accept connections");
		default:
			s->count->accept_errors++;
			log_line(s->log, "accept: %s; pausing", strerror(error));
			pause_listener(s);
			return 0;
		}
	}
	return 0;
}

static void end_holds(struct server *s)
{
	uint32_t i;

	while ((i = conns_first(&s->conns, CONN_HOLDING)) != CONN_NONE)
		serve_end_hold(s, i);
}

/* Takes no more connections, serves those that wait, and sets the bound for the rest. */
static int stop(struct server *s, struct err *e)
{
	int r = 0;

	if (s->stopping)
		return 0;
	if (s->config->after == AFTER_CLOSE)
		r = accept_some(s, e);
	epoll_ctl(s->epoll, EPOLL_CTL_DEL, s->listener, NULL);
	s->stopping = true;
	s->paused = false;
	/* Whoever asked for connections that stay open has them closed by the kernel, at once. */
	s->stop_at = s->config->after == AFTER_CLOSE ? s->now + s->config->grace_ns : s->now;
	return r;
}

static int on_signal(struct server *s, struct err *e)
{
	struct signalfd_siginfo info;

	while (read(s->signals, &info, sizeof(info)) == sizeof(info)) {
		int r;

		if (info.ssi_signo == SIGUSR1) {
			if (s->config->after == AFTER_HOLD)
				end_holds(s);
			continue;
		}
		r = stop(s, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Milliseconds until something is due, rounded up; -1 where nothing ever is. */
static int wait_ms(const struct server *s)
{
	int64_t due = INT64_MAX, ms;

	for (int q = CONN_HOLDING; q < CONN_QUEUES; q++) {
		uint32_t i = conns_first(&s->conns, q);

		if (i != CONN_NONE)
			due = earlier(due, s->conns.slot[i].deadline);
	}
	if (s->paused)
		due = earlier(due, s->resume_at);
	if (s->stopping)
		due = earlier(due, s->stop_at);
	if (due == INT64_MAX)
		return -1;
	ms = (due - clock_mono_ns() + CLOCK_NS_PER_MS - 1) / CLOCK_NS_PER_MS;
	return (int)(ms < 0 ? 0 : earlier(ms, LONGEST_WAIT_MS));
}

/* Handles every deadline that has passed. */
static void expire(struct server *s)
{
	uint32_t i;

	while ((i = conns_first(&s->conns, CONN_HOLDING)) != CONN_NONE &&
	       s->conns.slot[i].deadline <= s->now)
		serve_end_hold(s, i);
	while ((i = conns_first(&s->conns, CONN_DRAINING)) != CONN_NONE &&
	       s->conns.slot[i].deadline <= s->now)
		serve_time_up(s, i);
	if (s->paused && s->resume_at <= s->now)
		resume_listener(s);
}

static int handle(struct server *s, uint64_t tag, struct err *e)
{
	if (tag == TAG_LISTENER)
		return accept_some(s, e);
	if (tag == TAG_SIGNALS)
		return on_signal(s, e);
	serve_drain(s, (uint32_t)tag);
	return 0;
}

int server_run(struct server *s, struct err *e)
{
	struct epoll_event ev[EVENTS_AT_ONCE];

	for (;;) {
		int n = epoll_wait(s->epoll, ev, EVENTS_AT_ONCE, wait_ms(s));

		if (n < 0 && errno != EINTR)
			return err_errno(e, -errno, "epoll_wait");
		s->now = clock_mono_ns();
		for (int i = 0; i < n; i++) {
			int r = handle(s, ev[i].data.u64, e);

			if (r < 0)
				return r;
		}
		expire(s);
		if (s->stopping && (s->conns.used == 0 || s->now >= s->stop_at))
			return 0;
	}
}
