/* SPDX-License-Identifier: MIT */
/* Makes ends, notes what is known of them, and waits until they are what they should be. */
#include "mkcause.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "kernel/diag.h"
#include "tcp/sample.h"

#define SETTLE_S 15

static int family_of(const struct fix *f, bool server)
{
	return f->mapped && server ? AF_INET6 : f->family;
}

void addr_of(int fd, struct tcp_addr *a, int (*ask)(int, struct sockaddr *, socklen_t *))
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (ask(fd, (struct sockaddr *)&ss, &len) < 0 || tcp_addr_from_sockaddr(a, &ss, len) < 0)
		die("a socket's address");
}

int listen_on(struct fix *f, unsigned backlog, struct tcp_addr *addr)
{
	int family = family_of(f, true), fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct tcp_addr a = { .family = (uint8_t)family };
	struct sockaddr_storage ss;
	size_t len;

	if (tcp_addr_parse_host(&a, f->mapped           ? "::ffff:127.0.0.1"
				    : family == AF_INET ? "127.0.0.1"
							: "::1") < 0)
		die("loopback");
	len = tcp_addr_to_sockaddr(&a, &ss, sizeof(ss));
	if (fd < 0 || bind(fd, (struct sockaddr *)&ss, (socklen_t)len) < 0 ||
	    listen(fd, (int)backlog) < 0)
		die("listening on loopback");
	addr_of(fd, addr, getsockname);
	return fd;
}

APART int connect_to(struct fix *f, const struct tcp_addr *to, int rcvbuf)
{
	int fd = socket(f->family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct tcp_addr a = *to;
	struct sockaddr_storage ss;
	size_t len;

	if (f->mapped) {
		memset(a.bytes, 0, sizeof(a.bytes));
		memcpy(a.bytes, to->bytes + 12, 4);
		a.family = AF_INET;
	}
	len = tcp_addr_to_sockaddr(&a, &ss, sizeof(ss));
	if (fd < 0)
		die("socket");
	if (rcvbuf && setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf)) < 0)
		die("SO_RCVBUF");
	if (connect(fd, (struct sockaddr *)&ss, (socklen_t)len) < 0)
		die("connecting on loopback");
	return fd;
}

static uint64_t inode_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		die("fstat of a socket");
	return st.st_ino;
}

void add_listener(struct fix *f, unsigned backlog)
{
	struct listener l = { .backlog = backlog };

	l.fd = listen_on(f, backlog, &l.addr);
	l.inode = inode_of(l.fd);
	f->listeners = need(realloc(f->listeners, (f->n_listeners + 1) * sizeof(l)));
	f->listeners[f->n_listeners++] = l;
}

struct made *note_socket(struct fix *f, const char *word, int fd)
{
	struct made *m = &f->made[f->n];
	socklen_t len = sizeof(m->cookie);

	if (f->n++ == f->cap)
		abort();
	*m = (struct made){ .made = word, .cause = "healthy", .fd = fd, .listener = -1 };
	if (fd < 0)
		return m;
	m->inode = inode_of(fd);
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &m->cookie, &len) < 0)
		die("SO_COOKIE");
	addr_of(fd, &m->local, getsockname);
	m->holders[m->n_holders++] = (struct holder){ getpid(), fd, "mkcause" };
	return m;
}

/* A window that was once offered is not taken back: the client end that is accepted has its small
 * buffer from its listener. */
static const struct listener *listener_for(struct fix *f, int rcvbuf)
{
	const struct listener *l;

	if (!f->swap || !rcvbuf)
		return &f->listeners[0];
	add_listener(f, 1);
	l = &f->listeners[f->n_listeners - 1];
	if (setsockopt(l->fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf)) < 0)
		die("SO_RCVBUF");
	return l;
}

APART int accept_from(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		die("accept");
	return fd;
}

APART void make_pair(struct fix *f, const char *word, int rcvbuf, struct made **server,
		     struct made **client)
{
	const struct listener *l = listener_for(f, rcvbuf);
	int connected = connect_to(f, &l->addr, f->swap ? 0 : rcvbuf);
	int accepted = accept_from(l->fd), on = 1;
	int s = f->swap ? connected : accepted, c = f->swap ? accepted : connected;

	setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	*server = note_socket(f, word, s);
	*client = note_socket(f, word, c);
	addr_of(s, &(*server)->peer, getpeername);
	addr_of(c, &(*client)->peer, getpeername);
	(*server)->server = true;
	(f->swap ? *client : *server)->accepted = true;
	(*server)->made_in = f->swap ? "connect_to make_pair" : "accept_from make_pair";
	(*client)->made_in = f->swap ? "accept_from make_pair" : "connect_to make_pair";
	(*server)->state = (*client)->state = TCPS_ESTABLISHED;
}

void is(struct made *m, const char *cause, uint8_t state)
{
	m->cause = cause;
	m->state = state;
}

/* What is left has no descriptor. Its cookie may be another one now: settle() asks for it. */
void close_end(struct made *m)
{
	struct span at = { .from = wall_ns() };

	close(m->fd);
	at.to = wall_ns();
	if (m->state == TCPS_LAST_ACK)
		m->closed = at;
	else if (!m->began.to)
		m->began = at;
	m->fd = -1;
	m->n_holders = 0;
	m->inode = 0;
	m->cookie = 0;
}

void drop_arrivals(int fd)
{
	struct sock_filter all = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog prog = { 1, &all };

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0)
		die("SO_ATTACH_FILTER");
}

void say(int fd, size_t bytes)
{
	char text[1024] = { 0 };

	if (send(fd, text, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
		die("send");
}

void read_bytes(int fd, size_t bytes)
{
	char text[1024];

	if (recv(fd, text, bytes, MSG_WAITALL) != (ssize_t)bytes)
		die("recv");
}

/* Fills the peer's receive buffer and this end's send buffer. */
void write_until_full(int fd)
{
	static const char block[16384];
	int small = 32768, quiet = 0;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)) < 0)
		die("SO_SNDBUF");
	while (quiet < 3) {
		if (send(fd, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
			quiet = 0;
		else if (errno != EAGAIN)
			die("filling a socket");
		else
			quiet++;
	}
}

static uint8_t state_by_descriptor(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		die("TCP_INFO");
	return info.tcpi_state;
}

void pause_us(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 50000 }, NULL);
}

void await_state(int fd, uint8_t state)
{
	int64_t end = clock_mono_ns() + SETTLE_S * CLOCK_NS_PER_S;

	while (state_by_descriptor(fd) != state) {
		if (clock_mono_ns() > end) {
			errno = ETIMEDOUT;
			die(tcp_state_name(state));
		}
		pause_us();
	}
}

static struct tcp_sample ask_kernel(struct fix *f, const struct made *m)
{
	struct tcp_sample s;
	struct err e = { 0 };

	if (diag_lookup(f->diag, &m->local, &m->peer, &s, &e) < 0) {
		fprintf(stderr, "mkcause: %s\n", e.text);
		exit(1);
	}
	return s;
}

bool is_gone(struct fix *f, const struct made *m)
{
	return ask_kernel(f, m).state == TCPS_GONE;
}

/* The end's FIN goes. */
void send_fin(struct made *m)
{
	m->began.from = wall_ns();
	if (shutdown(m->fd, SHUT_WR) < 0)
		die("shutdown");
	m->began.to = wall_ns();
}

static void check_deadline(int64_t end, const char *what)
{
	if (clock_mono_ns() > end) {
		errno = ETIMEDOUT;
		die(what);
	}
}

/* The other end's FIN, which was not sent before `sent`, has come: on loopback mostly before the
 * call that sends it returns, but not where the kernel puts its work off. */
void fin_comes(struct fix *f, struct made *m, int64_t sent)
{
	int64_t end = clock_mono_ns() + SETTLE_S * CLOCK_NS_PER_S;
	uint8_t state;

	m->began.from = sent;
	for (;;) {
		state = m->fd < 0 ? ask_kernel(f, m).state : state_by_descriptor(m->fd);
		m->began.to = wall_ns();
		if (state == TCPS_CLOSE_WAIT)
			return;
		check_deadline(end, "a FIN");
		pause_us();
	}
}

void half_close(struct fix *f, struct made *m, struct made *other)
{
	send_fin(m);
	fin_comes(f, other, m->began.from);
}

/* Notes when it was last seen alive, and first dead. */
static bool has_died(struct made *m)
{
	int64_t now = wall_ns();

	if (state_by_descriptor(m->fd) == TCPS_CLOSE) {
		m->began.to = wall_ns();
		return true;
	}
	m->began.from = now;
	return false;
}

/* Of those that die by a timer. */
void await_deaths(struct fix *f)
{
	int64_t end = clock_mono_ns() + SETTLE_S * CLOCK_NS_PER_S;
	bool alive = true;

	while (alive) {
		alive = false;
		for (size_t i = 0; i < f->n; i++) {
			struct made *m = &f->made[i];

			if (!strcmp(m->cause, "dead") && !m->began.to)
				alive |= !has_died(m);
		}
		check_deadline(end, "a death");
		pump_in_time(f);
		pause_us();
	}
}

/* Asks the kernel, not the record, what the end is in now. */
static bool is_settled(struct fix *f, struct made *m)
{
	struct tcp_sample s;

	if (m->state == TCPS_CLOSE)
		return state_by_descriptor(m->fd) == TCPS_CLOSE;
	s = ask_kernel(f, m);
	if (s.state != m->state || (m->probing && s.timer != TCP_TIMER_PROBE))
		return false;
	if (!m->cookie)
		m->cookie = s.cookie;
	return s.cookie == m->cookie && s.inode == m->inode;
}

void settle(struct fix *f)
{
	int64_t end = clock_mono_ns() + SETTLE_S * CLOCK_NS_PER_S;

	for (size_t i = 0; i < f->n; i++) {
		char local[TCP_ADDR_TEXT];

		while (!is_settled(f, &f->made[i])) {
			if (clock_mono_ns() > end) {
				fprintf(stderr, "mkcause: %s: %s at %s did not become %s\n",
					f->made[i].made, f->made[i].cause,
					tcp_addr_text(&f->made[i].local, local),
					tcp_state_name(f->made[i].state));
				exit(1);
			}
			pause_us();
		}
	}
}
