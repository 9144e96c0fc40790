/* SPDX-License-Identifier: MIT */
/* mkcause makes each cause of an unfinished connection on demand, with real sockets on loopback,
 * says what it made and keeps it until it is told to stop. Every connection has a `server` end,
 * which has the cause that was asked for, and a `client` end. The program accepts the server end,
 * or connects it, where that is asked for. An end that stays open without fault lies
 * with a second process, the keeper, so that the ends of one connection belong to different
 * processes.
 *
 * Packets are lost without privileges by a socket filter that drops all that arrives at one end. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "tcp/addr.h"
#include "tcp/state.h"
#include "tests/helpers/said.h"

#define MAX_HOLDERS 3
#define PUMP_MS     20

struct holder {
	pid_t pid;
	int fd;
	const char *comm;
};

/* One end that was made, and what is true of it. */
struct made {
	const char *made;     /* the word that asked for it */
	const char *cause;    /* what is true */
	const char *snapshot; /* what can be known without having watched; NULL: the same */
	const char *variant;  /* how it was made, where there is more than one way; or NULL */
	bool server;
	uint8_t state; /* the state that it settles in */
	bool probing;  /* settled only when the zero-window probe timer runs */
	bool accepted; /* made by accept(); else by connect() */
	struct tcp_addr local, peer;
	int fd; /* in this process; -1: none */
	uint64_t inode, cookie;
	struct holder holders[MAX_HOLDERS];
	unsigned n_holders;
	pid_t let_go; /* who closed a descriptor that others still hold; 0: nobody */
	int listener; /* not-accepted: index into fix.listeners; else -1 */
	/* What was done to it. */
	struct span began;   /* it became half-closed, or dead where that is its cause */
	struct span told;    /* a read of it returned 0 */
	pid_t told_tid;      /* the thread that read */
	const char *told_in; /* the functions that led there from make_X(), or from the start of
			      * another thread; innermost first */
	const char *made_in; /* the same of accept() or connect(), from make() */
	struct span died;    /* its connection, after it was said to be another cause */
	struct span closed;  /* its own FIN was sent after the peer's */
	struct span gone;    /* nothing is left of it */
	bool resets;         /* bytes are left unread: its close sends no FIN, but a RST */
	bool by_exit;        /* its FIN was sent by an exit */
};

struct listener {
	int fd;
	unsigned backlog, queued;
	struct tcp_addr addr;
	uint64_t inode;
};

/* What the keeper does with an end. */
enum keep {
	KEEP_STILL = 's',
	KEEP_ECHO = 'e',
	KEEP_READING = 'r',
	KEEP_NO_MORE = 'c', /* closes it */
	KEEP_RESET = 'x',   /* closes it with a RST */
};

struct fix {
	int family;  /* AF_INET, AF_INET6 */
	bool mapped; /* server ends are IPv6 sockets that speak IPv4 */
	bool keep_closer, own_netns;
	bool swap; /* the server ends connect, the client ends are accepted */
	struct made *made;
	size_t n, cap;
	struct listener *listeners;
	size_t n_listeners;
	int keeper_fd;
	pid_t keeper;
	int *pump; /* ends here that carry traffic */
	size_t n_pump;
	int64_t next_pump; /* CLOCK_MONOTONIC ns */
	pid_t sharers[2];
	int diag;
	int ring;    /* io_uring that holds files; -1: none */
	int post[2]; /* the Unix sockets in which descriptors lie; post[0] -1: none */
};

/* Says why on stderr, as perror(), and exits. */
void die(const char *what) __attribute__((noreturn));
void *need(void *memory);

/* ends.c */
int listen_on(struct fix *f, unsigned backlog, struct tcp_addr *addr);
int connect_to(struct fix *f, const struct tcp_addr *to, int rcvbuf);
int accept_from(int listener);
void addr_of(int fd, struct tcp_addr *a, int (*ask)(int, struct sockaddr *, socklen_t *));
void add_listener(struct fix *f, unsigned backlog);
void make_pair(struct fix *f, const char *word, int rcvbuf, struct made **server,
	       struct made **client);
struct made *note_socket(struct fix *f, const char *word, int fd);
void is(struct made *m, const char *cause, uint8_t state);
void send_fin(struct made *m);
void fin_comes(struct fix *f, struct made *m, int64_t sent);
void half_close(struct fix *f, struct made *m, struct made *other);
void await_deaths(struct fix *f);
bool is_gone(struct fix *f, const struct made *m);
void pause_us(void);
void close_end(struct made *m);
void drop_arrivals(int fd);
void write_until_full(int fd);
void say(int fd, size_t bytes);
void read_bytes(int fd, size_t bytes);
void await_state(int fd, uint8_t state);
void settle(struct fix *f);

/* hold.c */
void keeper_start(struct fix *f);
void keep(struct fix *f, struct made *m, enum keep how);
void keep_no_more(struct fix *f, struct made *m, enum keep how);
void post_descriptors(struct fix *f);
void ring_take(struct fix *f, int *fds, unsigned n);
void sharers_start(struct fix *f);
void sharers_kill(struct fix *f);
void pump(struct fix *f);
void pump_in_time(struct fix *f);
void stop(struct fix *f);
void scale(struct fix *f, unsigned procs, unsigned each);

/* say.c */
void print_one(const struct fix *f, const struct made *m);

/* release.c: closes what stays for want of a close, or has those die whose closer is kept; and
 * prints when. */
void release(struct fix *f);
void reset(struct fix *f);

/* causes.c: makes n of each; false where there is no such word. */
bool make(struct fix *f, const char *word, unsigned n);
const char *cause_word(size_t i);
