/* SPDX-License-Identifier: MIT */
/* The causes: one function each, from an established pair to what its name says. */
#include "mkcause.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Connections that wait in one listener's accept queue. */
#define QUEUE_EACH    100
#define QUEUE_BACKLOG 128
/* Of the reader that lets its window shut. */
#define SMALL_RCVBUF 4096

/* The client end sends its FIN and is, as asked, closed or held on to. */
static void client_finishes(struct fix *f, struct made *s, struct made *c)
{
	half_close(f, c, s);
	if (f->keep_closer) {
		is(c, "half-closed-here", TCPS_FIN_WAIT2);
		keep(f, c, KEEP_STILL);
	} else {
		is(c, "orphan", TCPS_FIN_WAIT2);
		close_end(c);
	}
}

APART static void read_to_the_end(struct made *m)
{
	char byte;

	m->told_tid = gettid();
	m->told.from = wall_ns();
	if (recv(m->fd, &byte, 1, 0) != 0)
		die("reading the end of the stream");
	m->told.to = wall_ns();
}

APART static void *read_apart(void *m)
{
	read_to_the_end(m);
	return m;
}

/* The client end has shut down its side, the server end has read that, and both know. */
APART static void client_has_finished(struct fix *f, struct made *s, struct made *c)
{
	half_close(f, c, s);
	read_to_the_end(s);
	s->told_in = "read_to_the_end client_has_finished";
	await_state(c->fd, TCPS_FIN_WAIT2);
	is(c, "half-closed-here", TCPS_FIN_WAIT2);
}

static void make_unread(struct fix *f, unsigned i, struct made *s, struct made *c)
{
	static const char *const how[] = { "data and FIN", "FIN only", "data read, FIN not" };

	s->variant = how[i % 3];
	if (i % 3 != 1)
		say(c->fd, 100);
	if (i % 3 == 2)
		read_bytes(s->fd, 100);
	s->resets = i % 3 == 0;
	client_finishes(f, s, c);
	is(s, "unread", TCPS_CLOSE_WAIT);
}

APART static void make_told(struct fix *f, unsigned i, struct made *s, struct made *c)
{
	static const char *const how[] = { "one thread", "another thread" };
	pthread_t reader;

	s->variant = how[i % 2];
	client_finishes(f, s, c);
	if (i % 2) {
		if (pthread_create(&reader, NULL, read_apart, s) || pthread_join(reader, NULL))
			die("a thread");
		s->told_in = "read_to_the_end read_apart";
	} else {
		read_to_the_end(s);
		s->told_in = "read_to_the_end";
	}
	is(s, "told", TCPS_CLOSE_WAIT);
	s->snapshot = "drained";
}

/* The FIN rides on the data, and one read takes both without having returned 0. */
static void make_drained(struct fix *f, unsigned i, struct made *s, struct made *c)
{
	char text[100] = { 0 };

	if (send(c->fd, text, sizeof(text), MSG_MORE) != sizeof(text))
		die("send");
	client_finishes(f, s, c);
	if (recv(s->fd, text, sizeof(text), 0) != sizeof(text))
		die("recv");
	is(s, "drained", TCPS_CLOSE_WAIT);
}

static void make_shared(struct fix *f, unsigned i, struct made *s, struct made *c)
{
	static const char *const how[] = { "all hold", "parent let go", "child let go" };

	make_told(f, 0, s, c);
	s->told_in = "read_to_the_end make_told";
	is(s, "shared", TCPS_CLOSE_WAIT);
	s->snapshot = NULL;
	s->variant = how[i % 3]; /* sharers_start() does the rest */
}

static void make_no_descriptor(struct fix *f, unsigned i, struct made *s, struct made *c)
{
	client_finishes(f, s, c);
	is(s, "no-descriptor", TCPS_CLOSE_WAIT);
	s->variant = i % 2 ? "io_uring" : "message"; /* post_descriptors() does the rest */
}

/* The client has shut down its side and reads on; the server goes on sending. */
static void make_replying(struct fix *f, unsigned i, struct made *s, struct made *c)
{
	client_has_finished(f, s, c);
	is(s, "replying", TCPS_CLOSE_WAIT);
	is(c, "replying", TCPS_FIN_WAIT2);
	keep(f, c, KEEP_READING);
	f->pump[f->n_pump++] = s->fd;
}

static void make_peer_gone(struct fix *f, unsigned i, struct made *s, struct made *c)
{
	static const char *const how[] = { "FIN_WAIT_1 closed", "FIN_WAIT_1 held", "LAST_ACK",
					   "CLOSING" };

	s->variant = how[i % 4];
	is(s, "peer-gone", TCPS_FIN_WAIT1);
	if (i % 4 == 2) {
		client_has_finished(f, s, c);
		is(s, "peer-gone", TCPS_LAST_ACK);
	}
	drop_arrivals(c->fd);
	if (i % 4 == 2)
		close_end(s);
	else
		send_fin(s);
	if (i % 4 == 3) { /* both FINs are on their way at once, and the client hears of neither */
		send_fin(c);
		is(s, "peer-gone", TCPS_CLOSING);
		is(c, "peer-gone", TCPS_FIN_WAIT1);
	}
	if (i % 4 == 0)
		close_end(s);
	keep(f, c, KEEP_STILL);
}

static void make_send_blocked(struct fix *f, unsigned i, struct made *s, struct made *c)
{
	static const char *const how[] = { "FIN_WAIT_1 closed", "FIN_WAIT_1 held", "LAST_ACK" };

	s->variant = how[i % 3];
	is(s, "send-blocked", i % 3 == 2 ? TCPS_LAST_ACK : TCPS_FIN_WAIT1);
	s->probing = true;
	if (i % 3 == 2)
		client_has_finished(f, s, c);
	write_until_full(s->fd);
	if (i % 3 == 1)
		send_fin(s);
	else
		close_end(s);
	keep(f, c, KEEP_STILL);
}

/* The other side of these is a program that has not noticed the end: `unread`. */
static void make_half_closed_here(struct fix *f, unsigned i, struct made *s, struct made *c)
{
	keep(f, c, KEEP_STILL); /* before, so that the FIN finds nobody else to hold it */
	half_close(f, s, c);
	is(s, "half-closed-here", TCPS_FIN_WAIT2);
	is(c, "unread", TCPS_CLOSE_WAIT);
}

static void make_orphan(struct fix *f, unsigned i, struct made *s, struct made *c)
{
	close_end(s);
	fin_comes(f, c, s->began.from);
	is(s, "orphan", TCPS_FIN_WAIT2);
	is(c, "unread", TCPS_CLOSE_WAIT);
	keep(f, c, KEEP_STILL);
}

static void make_dead(struct fix *f, unsigned i, struct made *s, struct made *c)
{
	static const char *const how[] = { "reset", "timed out", "reset after the peer's FIN",
					   "reset after its own FIN" };
	struct linger reset = { 1, 0 };
	int limit_ms = 50;

	is(s, "dead", TCPS_CLOSE);
	s->variant = how[i % 4];
	if (i % 4 == 1) {
		drop_arrivals(c->fd);
		if (setsockopt(s->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit_ms, sizeof(limit_ms)))
			die("TCP_USER_TIMEOUT");
		say(s->fd, 1);
		keep(f, c, KEEP_STILL);
		return;
	}
	if (setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) < 0)
		die("SO_LINGER");
	if (i % 4 == 2)
		client_has_finished(f, s, c);
	if (i % 4 == 3)
		half_close(f, s, c);
	s->began.from = wall_ns();
	close_end(c);
	await_state(s->fd, TCPS_CLOSE);
	s->began.to = wall_ns();
	f->n--; /* the client end is gone: nothing to list */
}

static void make_time_wait(struct fix *f, unsigned i, struct made *s, struct made *c)
{
	close_end(s);
	is(s, "time-wait", TCPS_TIME_WAIT);
	if (recv(c->fd, (char[1]){ 0 }, 1, 0) != 0)
		die("reading the end of the stream");
	close_end(c);
	f->n--;
}

static void make_idle(struct fix *f, unsigned i, struct made *s, struct made *c)
{
	keep(f, c, KEEP_STILL);
}

static void make_busy(struct fix *f, unsigned i, struct made *s, struct made *c)
{
	keep(f, c, KEEP_ECHO);
	f->pump[f->n_pump++] = s->fd;
}

/* A pooled connection: used, and now waiting for the next use. The pool is the client. */
static void make_pool(struct fix *f, unsigned i, struct made *s, struct made *c)
{
	int on = 1;

	setsockopt(c->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	say(c->fd, 200);
	read_bytes(s->fd, 200);
	say(s->fd, 1000);
	read_bytes(c->fd, 1000);
	keep(f, s, KEEP_STILL);
}

typedef void make_fn(struct fix *f, unsigned i, struct made *s, struct made *c);

static const struct {
	const char *word;
	make_fn *make;
	int rcvbuf;
} causes[] = {
	{ "unread", make_unread },
	{ "told", make_told },
	{ "drained", make_drained },
	{ "not-accepted", NULL },
	{ "shared", make_shared },
	{ "no-descriptor", make_no_descriptor },
	{ "replying", make_replying },
	{ "peer-gone", make_peer_gone },
	{ "send-blocked", make_send_blocked, SMALL_RCVBUF },
	{ "half-closed-here", make_half_closed_here },
	{ "orphan", make_orphan },
	{ "dead", make_dead },
	{ "time-wait", make_time_wait },
	{ "idle", make_idle },
	{ "busy", make_busy },
	{ "pool", make_pool },
	{ "unconnected", NULL },
};
#define CAUSE_COUNT (sizeof(causes) / sizeof(causes[0]))

const char *cause_word(size_t i)
{
	return i < CAUSE_COUNT ? causes[i].word : NULL;
}

APART static void make_not_accepted(struct fix *f, const char *word, unsigned i)
{
	struct listener *l;
	struct made *c, *s;

	if (i % QUEUE_EACH == 0)
		add_listener(f, QUEUE_BACKLOG);
	l = &f->listeners[f->n_listeners - 1];
	c = note_socket(f, word, connect_to(f, &l->addr, 0));
	c->made_in = "connect_to make_not_accepted";
	c->peer = l->addr;
	s = note_socket(f, word, -1);
	s->local = l->addr;
	s->peer = c->local;
	if (f->mapped) {
		c->peer = (struct tcp_addr){ .family = AF_INET, .port = l->addr.port };
		memcpy(c->peer.bytes, l->addr.bytes + 12, 4);
		s->peer = l->addr;
		s->peer.port = c->local.port;
	}
	s->server = s->accepted = true;
	s->listener = (int)f->n_listeners - 1;
	l->queued++;
	if (i % 2)
		say(c->fd, 10);
	s->resets = i % 2;
	client_finishes(f, s, c);
	is(s, "not-accepted", TCPS_CLOSE_WAIT);
}

/* Never was a connection: what `dead` must not be mistaken for. */
static void make_unconnected(struct fix *f, const char *word)
{
	int fd = socket(f->family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	note_socket(f, word, fd)->state = TCPS_CLOSE;
}

APART bool make(struct fix *f, const char *word, unsigned n)
{
	size_t k = 0;

	while (k < CAUSE_COUNT && strcmp(causes[k].word, word))
		k++;
	if (k == CAUSE_COUNT)
		return false;
	for (unsigned i = 0; i < n; i++) {
		struct made *s, *c;

		if (!strcmp(word, "not-accepted")) {
			make_not_accepted(f, causes[k].word, i);
		} else if (!strcmp(word, "unconnected")) {
			make_unconnected(f, causes[k].word);
		} else {
			make_pair(f, causes[k].word, causes[k].rcvbuf, &s, &c);
			causes[k].make(f, i, s, c);
			pump_in_time(f); /* what replies does so from the start */
		}
	}
	return true;
}
