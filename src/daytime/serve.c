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
 * A client may make us wait (it never closes) or read for ever (it never stops sending). Both are
 * bounded; at the bound we reset on purpose: the reply and the FIN are long acknowledged, and a
 * plain close would leave the kernel an orphan in FIN_WAIT_2 for every such client.
 */
#include "daytime/serve.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const size_t DRAIN_AT_ONCE = 65536; /* bytes per read; one client has one read per round */

/* Makes the text of this second. Compares for difference, not order: the clock may step back. */
static void refresh_text(struct server *s)
{
	struct daytime_moment m = { .t = time(NULL) };
	int n;

	if (s->text_len > 0 && m.t == s->text_of)
		return;
	n = daytime_text(&s->config->format, &m, s->text);
	if (n < 0)
		return; /* a year beyond the format's: the last text that could be made stays */
	s->text_len = n;
	s->text_of = m.t;
}

/* Closes with a reset: the kernel forgets the connection at once. */
static void reset(int fd)
{
	static const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* Closes a connection that has a slot. Closing takes it out of the epoll too: nobody else has it.
 */
static void finish(struct server *s, uint32_t i)
{
	close(s->conns.slot[i].fd);
	conns_move(&s->conns, i, CONN_FREE, 0);
}

static void count_failure(struct server *s, int error)
{
	if (error == ECONNRESET || error == EPIPE)
		s->count->reset_by_client++;
	else
		s->count->send_failed++;
}

/* Sends the FIN and waits for the client's. */
static void start_drain(struct server *s, uint32_t i)
{
	struct conn *c = &s->conns.slot[i];
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP, .data.u64 = i };

	if (shutdown(c->fd, SHUT_WR) < 0) { /* the client has reset it already */
		count_failure(s, ECONNRESET);
		finish(s, i);
		return;
	}
	conns_move(&s->conns, i, CONN_DRAINING, s->now + s->config->drain_ns);
	if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, c->fd, &ev) < 0) {
		s->count->send_failed++;
		finish(s, i);
	}
}

void serve_new(struct server *s, int fd)
{
	bool closes = s->config->after == AFTER_CLOSE;
	int64_t until = INT64_MAX;
	uint32_t i;
	ssize_t n;

	if (s->config->after == AFTER_HOLD)
		until = s->now + s->config->hold_ns;
	i = conns_add(&s->conns, fd, CONN_HOLDING, until);
	if (i == CONN_NONE) {
		s->count->refused_full++;
		reset(fd);
		return;
	}
	refresh_text(s);
	n = send(fd, s->text, (size_t)s->text_len,
		 MSG_DONTWAIT | MSG_NOSIGNAL | (closes ? MSG_MORE : 0));
	if (n != s->text_len) { /* a part of so small a reply is no reply: the socket is new */
		count_failure(s, n < 0 ? errno : ENOBUFS);
		finish(s, i);
		return;
	}
	s->count->replied++;
	if (closes)
		start_drain(s, i);
}

void serve_drain(struct server *s, uint32_t i)
{
	static char bytes[65536]; /* never looked at */
	struct conn *c = &s->conns.slot[i];
	ssize_t n;

	if (c->queue != CONN_DRAINING) /* closed earlier in this round */
		return;
	n = recv(c->fd, bytes, DRAIN_AT_ONCE, MSG_DONTWAIT | MSG_TRUNC);
	if (n < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return;
		s->count->reset_by_client++;
		finish(s, i);
		return;
	}
	if (n == 0) {
		finish(s, i);
		return;
	}
	c->drained += (uint64_t)n;
	if (c->drained > s->config->drain_bytes) {
		s->count->reset_bytes++;
		reset(c->fd);
		conns_move(&s->conns, i, CONN_FREE, 0);
	}
}

void serve_end_hold(struct server *s, uint32_t i)
{
	start_drain(s, i);
}

void serve_time_up(struct server *s, uint32_t i)
{
	s->count->reset_time++;
	reset(s->conns.slot[i].fd);
	conns_move(&s->conns, i, CONN_FREE, 0);
}
