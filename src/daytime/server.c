/* SPDX-License-Identifier: MIT */
/* Theory of operation
 *
 * One round: wait for events until the next deadline, handle them, then whatever is due. The epoll
 * knows the listener, a signalfd, and every connection whose FIN is sent. A connection that is
 * kept or held is in no epoll and is never read, so that its socket shows what it is: CLOSE_WAIT,
 * with the client's FIN unread.
 *
 * Every wait has an end: a hold's, a drain's, a pause's of the listener, the log's for more lines
 * or for room, the stop's.
 */
#include "daytime/server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "daytime/gate.h"
#include "daytime/notify.h"
#include "daytime/serve.h"

#define EVENTS_AT_ONCE 256
/* epoll data above every table index; listeners have GATE_TAG and up */
#define TAG_SIGNALS (2ULL << 32)
#define TAG_UDP     (3ULL << 32)

static const int64_t LONGEST_WAIT_MS = 3600000; /* one hour: epoll_wait() takes an int */
/* Handing on costs a call and a wake-up of whoever reads; so lines wait for more: for nobody too
 * long, and for some 200 lines under load. */
static const int64_t LOG_WAIT_NS = 10 * CLOCK_NS_PER_MS;
static const int64_t LOG_RETRY_NS = 100 * CLOCK_NS_PER_MS;

bool log_gate_pass(struct log_gate *g, int64_t now)
{
	if (now < g->next) {
		g->skipped++;
		return false;
	}
	g->next = now + CLOCK_NS_PER_S;
	return true;
}

int server_signals(void)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2 };
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaddset(&set, numbers[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return -errno;
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int open_tables(struct server *s, struct err *e)
{
	const struct server_config *c = s->config;

	if (conns_open(&s->conns, c->max_connections) < 0)
		return err_set(e, -ENOMEM, "no memory for %u connections", c->max_connections);
	if (s->udp)
		s->udp->sources.seed = s->sources->seed;
	return 0;
}

static int watch_one(struct server *s, int fd, uint64_t tag)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = tag };

	return epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static int open_descriptors(struct server *s, struct err *e)
{
	int r;

	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll < 0)
		return err_errno(e, -errno, "epoll_create1");
	s->reserve = fcntl(s->epoll, F_DUPFD_CLOEXEC, 0);
	if (s->reserve < 0)
		return err_errno(e, -errno, "cannot reserve a descriptor");
	s->signals = server_signals();
	if (s->signals < 0)
		return err_errno(e, s->signals, "signals");
	r = watch_one(s, s->signals, TAG_SIGNALS);
	if (r == 0 && s->udp)
		r = watch_one(s, s->udp->fd, TAG_UDP);
	if (r == 0)
		r = gate_watch(s, EPOLL_CTL_ADD, EPOLLIN);
	return r < 0 ? err_errno(e, r, "epoll_ctl") : 0;
}

int server_open(struct server *s, const struct server_config *c, const int *listeners,
		unsigned count, struct sources *sources, struct udp *udp, struct log *log,
		struct counters *counters, struct err *e)
{
	int r;

	*s = (struct server){
		.config = c, .log = log, .count = counters, .udp = udp, .sources = sources
	};
	s->epoll = s->signals = s->reserve = s->notify = -1;
	memcpy(s->listener, listeners, count * sizeof(*listeners));
	s->listeners = count;
	serve_refresh_text(s);
	if (s->text_len == 0)
		return err_set(e, -ERANGE, "the time cannot be written in this format");
	r = open_tables(s, e);
	if (r == 0)
		r = open_descriptors(s, e);
	if (r < 0)
		server_close(s);
	return r;
}

void server_close(struct server *s)
{
	int *const fds[] = { &s->epoll, &s->signals, &s->reserve };

	for (uint32_t i = 0; i < s->conns.size; i++)
		if (s->conns.slot[i].queue != CONN_FREE)
			close(s->conns.slot[i].fd);
	closing_flush(&s->closing);
	conns_free(&s->conns);
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

static void end_holds(struct server *s)
{
	uint32_t i;

	while ((i = conns_first(&s->conns, CONN_HOLDING)) != CONN_NONE)
		serve_end_hold(s, i);
}

/* Serves those who wait in the accept queues, then takes no more. Whoever asked for connections
 * that stay open has them closed by the kernel, at once. */
static int stop(struct server *s, struct err *e)
{
	int r = 1;

	if (s->stopping)
		return 0;
	s->stopping = true;
	notify_send(s->notify, "STOPPING=1");
	s->stop_at = s->now;
	if (s->config->after == AFTER_CLOSE) {
		s->stop_at += s->config->grace_ns;
		for (unsigned i = 0; i < s->listeners; i++)
			while ((r = gate_accept(s, i, e)) > 0 && clock_mono_ns() < s->stop_at)
				continue;
	}
	gate_shut(s);
	return r < 0 ? r : 0;
}

static void report(struct server *s)
{
	char json[COUNTERS_JSON_MAX];
	struct counters now = *s->count;

	now.log_lines_lost = log_lost(s->log);
	log_line(s->log, "%s", counters_json(&now, json));
}

static int on_signal(struct server *s, struct err *e)
{
	struct signalfd_siginfo info;

	while (read(s->signals, &info, sizeof(info)) == sizeof(info)) {
		int r;

		if (info.ssi_signo == SIGUSR1) {
			if (s->config->after == AFTER_HOLD)
				end_holds(s);
		} else if (info.ssi_signo == SIGUSR2) {
			report(s);
		} else {
			r = stop(s, e);
			if (r < 0)
				return r;
		}
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
	if (s->log_at)
		due = earlier(due, s->log_at);
	if (s->closing.count > 0) /* closed with those of the next round, if one comes soon */
		due = earlier(due, s->now + CLOCK_NS_PER_MS);
	if (due == INT64_MAX)
		return -1;
	ms = (due - s->now + CLOCK_NS_PER_MS - 1) / CLOCK_NS_PER_MS;
	return (int)(ms < 0 ? 0 : earlier(ms, LONGEST_WAIT_MS));
}

/* Handles every deadline that has passed. */
static void expire(struct server *s)
{
	uint32_t i;

	while ((i = conns_first(&s->conns, CONN_HOLDING)) != CONN_NONE &&
	       s->conns.slot[i].deadline <= s->now)
		serve_end_hold(s, i);
	serve_settle(s, UINT32_MAX);
	while ((i = conns_first(&s->conns, CONN_DRAINING)) != CONN_NONE &&
	       s->conns.slot[i].deadline <= s->now)
		serve_time_up(s, i);
	if (s->paused && s->resume_at <= s->now)
		gate_resume(s);
}

/* Hands on the log's lines when they have waited long enough, or are many. */
static void hand_on_log(struct server *s)
{
	s->count->log_lines_lost = s->log->lost; /* for whoever sums up several workers' */
	if (s->log->len == 0) {
		s->log_at = 0;
		return;
	}
	if (s->log_at == 0)
		s->log_at = s->now + LOG_WAIT_NS;
	if (s->now >= s->log_at || s->log->len > LOG_CAP / 2)
		s->log_at = log_flush(s->log) ? s->now + LOG_RETRY_NS : 0;
}

/* Handles an event of anything but a connection. */
static int handle(struct server *s, uint64_t tag, struct err *e)
{
	if (tag == TAG_SIGNALS)
		return on_signal(s, e);
	if (tag == TAG_UDP) {
		serve_refresh_text(s);
		udp_serve(s->udp, s->text, (size_t)s->text_len, s->now, s->count);
	} else if (tag >= GATE_TAG && s->listeners > 0 && !s->paused) {
		int r = gate_accept(s, (unsigned)(tag - GATE_TAG), e);

		return r < 0 ? r : 0;
	}
	return 0;
}

int server_run(struct server *s, struct err *e)
{
	struct epoll_event ev[EVENTS_AT_ONCE];

	s->now = clock_mono_ns();
	while (!s->stopping || (s->conns.used > 0 && s->now < s->stop_at)) {
		int n = epoll_wait(s->epoll, ev, EVENTS_AT_ONCE, wait_ms(s)), r = 0;

		if (n < 0 && errno != EINTR)
			return err_set(e, -errno, "epoll_wait: %s", strerrordesc_np(errno));
		s->now = clock_mono_ns();
		for (int i = 0; i < n; i++) /* those that end make room for those that come */
			if (ev[i].data.u64 < GATE_TAG)
				serve_drain(s, (uint32_t)ev[i].data.u64);
		closing_flush(&s->closing);
		for (int i = 0; i < n && r == 0; i++)
			r = handle(s, ev[i].data.u64, e);
		if (r < 0)
			return r;
		expire(s);
		hand_on_log(s);
	}
	s->count->cut_by_stop += s->conns.used;
	log_flush(s->log); /* no round comes that would */
	return 0;
}
