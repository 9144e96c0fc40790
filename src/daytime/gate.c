/* SPDX-License-Identifier: MIT */
#include "daytime/gate.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "daytime/accept.h"
#include "daytime/serve.h"

#define ACCEPT_AT_ONCE    16
#define SHED_AT_ONCE      64
#define FAILURES_IN_A_ROW 64
#define FRESH_MOST        64 /* of all workers; when there are more, most are looked at */
#define FRESH_PART        8  /* that is: but for an eighth */

static const int64_t SHED_PAUSE_NS = 100 * CLOCK_NS_PER_MS;
static const int64_t BACKOFF_FIRST_NS = 50 * CLOCK_NS_PER_MS;
static const int64_t BACKOFF_LAST_NS = 1000 * CLOCK_NS_PER_MS;

int gate_watch(struct server *s, int op, uint32_t events)
{
	for (unsigned i = 0; i < s->listeners; i++) {
		struct epoll_event ev = { .events = events, .data.u64 = GATE_TAG + i };

		if (epoll_ctl(s->epoll, op, s->listener[i], &ev) < 0)
			return -errno;
	}
	return 0;
}

static void pause_for(struct server *s, int64_t ns)
{
	gate_watch(s, EPOLL_CTL_MOD, 0);
	s->paused = true;
	s->resume_at = s->now + ns;
}

void gate_resume(struct server *s)
{
	/* A failure leaves it paused, to be tried again. */
	if (gate_watch(s, EPOLL_CTL_MOD, EPOLLIN) == 0)
		s->paused = false;
	else
		s->resume_at = s->now + SHED_PAUSE_NS;
}

void gate_shut(struct server *s)
{
	gate_watch(s, EPOLL_CTL_DEL, 0); /* others may have them open too */
	while (s->listeners > 0)
		close(s->listener[--s->listeners]);
	s->paused = false;
}

/* No descriptor is left: gives up the one in reserve, so that those who wait are refused at once
 * and do not hang, then pauses. */
static void shed(struct server *s, unsigned listener, int error)
{
	unsigned n = 0;

	if (s->reserve >= 0) {
		close(s->reserve);
		for (; n < SHED_AT_ONCE; n++) {
			int fd = accept4(s->listener[listener], NULL, NULL,
					 SOCK_CLOEXEC | SOCK_NONBLOCK);

			if (fd < 0)
				break;
			s->count->accepted++;
			s->count->refused_descriptors++;
			serve_reset(fd);
		}
	}
	s->reserve = fcntl(s->epoll, F_DUPFD_CLOEXEC, 0);
	if (s->config->log_level >= LOG_EVENTS && log_gate_pass(&s->shed, s->now))
		log_line(s->log, "accept: %s; %u connections refused, pausing",
			 strerrordesc_np(error), n);
	pause_for(s, SHED_PAUSE_NS);
}

static void back_off(struct server *s, int error)
{
	s->backoff = s->backoff ? s->backoff * 2 : BACKOFF_FIRST_NS;
	if (s->backoff > BACKOFF_LAST_NS)
		s->backoff = BACKOFF_LAST_NS;
	if (s->config->log_level >= LOG_EVENTS && log_gate_pass(&s->shed, s->now))
		log_line(s->log, "accept: %s; pausing for %lld ms", strerrordesc_np(error),
			 (long long)(s->backoff / CLOCK_NS_PER_MS));
	pause_for(s, s->backoff);
}

/* Does what accept4()'s error asks for. Returns as gate_accept(). */
static int accept_failed(struct server *s, unsigned listener, int error, struct err *e)
{
	switch (accept_classify(error)) {
	case ACCEPT_NONE:
		return 0;
	case ACCEPT_STOP:
		return err_set(e, -error, "cannot accept connections any more: %s",
			       strerrordesc_np(error));
	case ACCEPT_SHED:
		s->count->accept_errors++;
		shed(s, listener, error);
		return 0;
	case ACCEPT_BACKOFF:
		s->count->accept_errors++;
		back_off(s, error);
		return 0;
	default:
		s->count->accept_errors++;
		return 1;
	}
}

/* Accepts up to `most` connections and gives each a slot; those are put into `slot`. Returns how
 * many; `r` tells how it ended, as gate_accept(). */
static unsigned accept_some(struct server *s, unsigned listener, uint32_t *slot, unsigned most,
			    int *r, struct err *e)
{
	unsigned n = 0;

	for (unsigned tries = 0; tries < most; tries++) {
		struct sockaddr_in6 peer;
		socklen_t len = sizeof(peer);
		int fd = accept4(s->listener[listener], (struct sockaddr *)&peer, &len,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0) {
			s->last_accept_error = errno;
			*r = accept_failed(s, listener, errno, e);
			if (*r <= 0)
				return n;
			s->accept_failures++;
			continue;
		}
		s->count->accepted++;
		s->accept_failures = 0;
		s->backoff = 0;
		slot[n] = serve_admit(s, fd, &peer);
		n += slot[n] != CONN_NONE;
	}
	*r = 1;
	return n;
}

int gate_accept(struct server *s, unsigned listener, struct err *e)
{
	uint32_t slot[ACCEPT_AT_ONCE];
	/* Those that others have not looked at count against the limits of all. */
	uint32_t fresh_most = FRESH_MOST / s->config->workers;
	int r = 0;
	unsigned n = accept_some(s, listener, slot, ACCEPT_AT_ONCE, &r, e);

	serve_new(s, slot, n);
	if (s->conns.fresh > fresh_most)
		serve_settle(s, fresh_most / FRESH_PART);
	if (s->accept_failures >= FAILURES_IN_A_ROW) { /* nothing but failures: do not spin */
		s->accept_failures = 0;
		back_off(s, s->last_accept_error);
		return 0;
	}
	return r;
}
