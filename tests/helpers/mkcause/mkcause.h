/* SPDX-License-Identifier: MIT */
/* mkcause makes each cause of an unfinished connection on demand, with real sockets on loopback,
 * says what it made and keeps it until it is told to stop. Every connection has a `server` end,
 * which the program itself accepts, and a `client` end. An end that stays open without fault lies
 * with a second process, the keeper, so that the ends of one connection belong to different
 * processes.
 *
 * Packets are lost without privileges by a socket filter that drops all that arrives at one end. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tcp/addr.h"
#include "tcp/state.h"

#define MAX_HOLDERS 3

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
	struct tcp_addr local, peer;
	int fd; /* in this process; -1: none */
	uint64_t inode, cookie;
	struct holder holders[MAX_HOLDERS];
	unsigned n_holders;
	pid_t let_go; /* who closed a descriptor that others still hold; 0: nobody */
	int listener; /* not-accepted: index into fix.listeners; else -1 */
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
};

struct fix {
	int family;  /* AF_INET, AF_INET6 */
	bool mapped; /* server ends are IPv6 sockets that speak IPv4 */
	bool keep_closer, own_netns;
	struct made *made;
	size_t n, cap;
	struct listener *listeners;
	size_t n_listeners;
	int keeper_fd;
	pid_t keeper;
	int *pump; /* ends here that carry traffic */
	size_t n_pump;
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
void add_listener(struct fix *f, unsigned backlog);
void make_pair(struct fix *f, const char *word, int rcvbuf, struct made **server,
	       struct made **client);
struct made *note_socket(struct fix *f, const char *word, int fd);
void is(struct made *m, const char *cause, uint8_t state);
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
void post_descriptors(struct fix *f);
void ring_take(struct fix *f, int *fds, unsigned n);
void sharers_start(struct fix *f);
void pump(struct fix *f);
void stop(struct fix *f);
void scale(struct fix *f, unsigned procs, unsigned each);

/* causes.c: makes n of each; false where there is no such word. */
bool make(struct fix *f, const char *word, unsigned n);
const char *cause_word(size_t i);
