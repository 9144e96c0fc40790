/* SPDX-License-Identifier: MIT */
/* Theory of operation
 *
 * A reply is lost when a connection is closed with unread bytes in its receive buffer, or when
 * bytes arrive after the close: either makes the kernel send a reset (RFC 9293 3.6.1; RFC 1122
 * 4.2.2.13), and the reset makes the client's kernel give up what it has not yet delivered.
 * So: send, shut down the sending side, read to the end of the stream, and only then close.
 *
 * send(MSG_MORE) leaves the reply in the send queue; shutdown(SHUT_WR) then puts the FIN on that
 * same segment and pushes it out (tcp_send_fin() takes the tail of the queue). One packet goes out
 * where write() and close() send two, which is what makes the correct way the cheaper one.
 *
 * Most clients close as soon as they have the reply, well within a millisecond on a fast network. A
 * connection is therefore fresh at first: it is looked at once, when some more have come or a
 * millisecond has gone by, and in most cases it can be closed then. Only the others cost the two
 * calls that the epoll takes.
 *
 * A client may make us wait (it never closes) or read for ever (it never stops sending). Both are
 * bounded; at the bound we reset on purpose: the reply and the FIN are long acknowledged, and a
 * plain close would leave the kernel an orphan in FIN_WAIT_2 for every such client.
 */
#include "daytime/serve.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "daytime/peer.h"

#define DRAIN_AT_ONCE 65536 /* bytes per read; one client has one read per round */

static const int64_t FRESH_NS = CLOCK_NS_PER_MS;

/* Fills in what the kernel knows of its clock: a leap second that is due, and how good it is. A
 * clock that nothing disciplines may be wrong by any amount. */
static void read_clock_state(const struct server_config *c, struct daytime_moment *m)
{
	struct timex tx = { .modes = 0 };
	int state = clock_adjtime(CLOCK_REALTIME, &tx);

	m->leap = state == TIME_INS ? 1 : state == TIME_DEL ? 2 : 0;
	if (c->health >= 0)
		m->health = (unsigned)c->health;
	else if (state < 0 || state == TIME_ERROR)
		m->health = 4;
	else
		m->health = tx.maxerror < 1000000 ? 0 : tx.maxerror < 5000000 ? 1 : 4;
}

/* The second that the text is to say. */
static time_t second_to_tell(const struct server_config *c)
{
	struct timespec ts;

	if (c->clock)
		ts = c->clock();
	else
		clock_gettime(CLOCK_REALTIME, &ts); /* time() may lag by a tick */
	if (c->format.kind == DAYTIME_NIST &&
	    ts.tv_nsec + DAYTIME_NIST_ADVANCE_MS * CLOCK_NS_PER_MS >= CLOCK_NS_PER_S)
		ts.tv_sec++;
	return ts.tv_sec;
}

void serve_refresh_text(struct server *s)
{
	struct daytime_moment m = { 0 };
	int n;

	m.t = second_to_tell(s->config);
	/* For difference, not order: the clock may step back. */
	if (s->text_len > 0 && m.t == s->moment.t)
		return;
	if (s->config->format.kind == DAYTIME_NIST)
		read_clock_state(s->config, &m);
	n = daytime_text(&s->config->format, &m, s->text);
	if (n < 0)
		return; /* a year beyond the format's: the last text that could be made stays */
	s->text_len = n;
	s->moment = m;
}

void serve_reset(int fd)
{
	static const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* Frees the slot of a connection that is closed; `how` is for the log. */
static void forget(struct server *s, uint32_t i, const char *how)
{
	const struct conn *c = &s->conns.slot[i];

	if (s->config->log_level >= LOG_CONNECTIONS) {
		char line[LOG_LINE];
		size_t len = peer_text(&c->peer, line);
		char *end = stpcpy(stpcpy(line + len, ": "), how);

		log_add(s->log, line, (size_t)(end - line));
	}
	sources_release(s->sources, c->source);
	conns_move(&s->conns, i, CONN_FREE, 0);
}

/* Closes a connection, in this round or the next, a millisecond later at most; that takes it out of
 * the epoll too, since nobody else has it. */
static void finish(struct server *s, uint32_t i, const char *how)
{
	closing_add(&s->closing, s->conns.slot[i].fd);
	forget(s, i, how);
}

/* Sends the FIN. */
static void start_close(struct server *s, uint32_t i)
{
	if (shutdown(s->conns.slot[i].fd, SHUT_WR) < 0) { /* the client has reset it already */
		s->count->reset_by_client++;
		finish(s, i, "reset by the client");
		return;
	}
	conns_move(&s->conns, i, CONN_FRESH, s->now + FRESH_NS);
}

/* Refuses a connection over a limit. A reset leaves nothing behind, here or in the kernel. */
static void refuse(struct server *s, int fd, const struct sockaddr_in6 *peer, uint64_t *counter,
		   const char *why)
{
	char text[PEER_ADDRESS_MAX];

	serve_reset(fd);
	++*counter;
	if (s->config->log_level < LOG_EVENTS || !log_gate_pass(&s->refused, s->now))
		return;
	peer_address(peer, text);
	log_line(s->log, "refused %s: %s; %llu more since the last such line", text, why,
		 (unsigned long long)s->refused.skipped);
	s->refused.skipped = 0;
}

uint32_t serve_admit(struct server *s, int fd, const struct sockaddr_in6 *peer)
{
	int64_t until = s->config->after == AFTER_HOLD ? s->now + s->config->hold_ns : INT64_MAX;
	const struct server_config *c = s->config;
	struct source_key key = source_key(peer);
	enum source_answer r;
	uint32_t i, cell;

	r = sources_take(s->sources, key, c->max_per_source, c->max_connections, &cell);
	if (r != SOURCE_TAKEN) { /* those that are closed but not yet looked at do not count */
		serve_settle(s, 0);
		r = sources_take(s->sources, key, c->max_per_source, c->max_connections, &cell);
	}
	if (r == SOURCE_ALL_FULL) {
		refuse(s, fd, peer, &s->count->refused_full, "too many connections in all");
		return CONN_NONE;
	}
	if (r == SOURCE_FULL) {
		refuse(s, fd, peer, &s->count->refused_source,
		       "too many connections from this source");
		return CONN_NONE;
	}
	i = conns_add(&s->conns, fd, CONN_HOLDING, until);
	s->conns.slot[i].source = cell;
	s->conns.slot[i].peer = *peer;
	return i;
}

/* Sends the reply. Returns false where that was not possible, and the connection is closed. */
static bool reply(struct server *s, uint32_t i, int flags)
{
	ssize_t n = send(s->conns.slot[i].fd, s->text, (size_t)s->text_len, flags);

	if (n == s->text_len) {
		s->count->replied++;
		return true;
	}
	s->count->unsent++; /* a part of so small a reply is no reply: the socket is new */
	finish(s, i, "the reply could not be sent");
	return false;
}

void serve_new(struct server *s, const uint32_t *slot, unsigned count)
{
	bool closes = s->config->after == AFTER_CLOSE;
	int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (closes ? MSG_MORE : 0);
	uint64_t sent = 0;

	if (count > 0)
		serve_refresh_text(s);
	for (unsigned k = 0; k < count; k++)
		sent |= (uint64_t)reply(s, slot[k], flags) << k;
	for (unsigned k = 0; k < count && closes; k++)
		if (sent >> k & 1)
			start_close(s, slot[k]);
}

/* Reads once after the FIN. Returns whether the connection is still open. */
static bool drain(struct server *s, uint32_t i)
{
	static char bytes[DRAIN_AT_ONCE]; /* MSG_TRUNC: never written to (tcp(7)) */
	struct conn *c = &s->conns.slot[i];
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_TRUNC);

	if (n == 0) {
		s->count->closed++;
		finish(s, i, "closed");
		return false;
	}
	if (n < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return true;
		s->count->reset_by_client++;
		finish(s, i, "reset by the client");
		return false;
	}
	c->drained += (uint64_t)n;
	if (c->drained <= s->config->drain_bytes)
		return true;
	s->count->too_much++;
	serve_reset(c->fd);
	forget(s, i, "reset by us: it sent too much");
	return false;
}

void serve_settle(struct server *s, uint32_t most)
{
	uint32_t i;

	while ((i = conns_first(&s->conns, CONN_FRESH)) != CONN_NONE &&
	       (s->conns.fresh > most || s->conns.slot[i].deadline <= s->now)) {
		struct epoll_event ev = { .events = EPOLLIN, .data.u64 = i };

		if (!drain(s, i))
			continue;
		conns_move(&s->conns, i, CONN_DRAINING, s->now + s->config->drain_ns);
		/* Where the kernel has no memory for it, it is read when its time is up. */
		if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->conns.slot[i].fd, &ev) < 0 &&
		    log_gate_pass(&s->failed, s->now))
			log_line(s->log, "epoll_ctl: %s", strerrordesc_np(errno));
	}
	closing_flush(&s->closing);
}

void serve_drain(struct server *s, uint32_t i)
{
	if (s->conns.slot[i].queue == CONN_DRAINING) /* not closed earlier in this round */
		drain(s, i);
}

void serve_end_hold(struct server *s, uint32_t i)
{
	start_close(s, i);
}

void serve_time_up(struct server *s, uint32_t i)
{
	if (!drain(s, i))
		return;
	s->count->timed_out++;
	serve_reset(s->conns.slot[i].fd);
	forget(s, i, "reset by us: it did not close in time");
}
