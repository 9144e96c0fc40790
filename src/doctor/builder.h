/* SPDX-License-Identifier: MIT */
/* Joins what the kernel tells in several answers (sockets, descriptors, namespaces) to one census.
 */
#pragma once

#include "base/err.h"
#include "base/map.h"
#include "kernel/netns.h"
#include "tcp/census.h"

/* Of a listener in by_cookie and by_inode: its index with this bit. */
#define BUILDER_IS_LISTENER (1u << 31)

struct builder {
	struct census *c;
	unsigned states;     /* TCP_BIT set to keep */
	bool each_time_wait; /* keep them as sockets, too */
	bool inodes;         /* holders will be told by inode; else only of MPTCP */
	uint64_t began;      /* ticks since boot: a process younger than this came later */
	int64_t looked_ns;   /* clock_mono_ns() when the last socket or number was taken in */
	struct map by_cookie, by_inode, procs, time_wait;
	uint32_t last_pid, last_proc; /* the holder found last */
	uint32_t *same_inode; /* per socket: the next with this inode (MPTCP), or MAP_NONE */
	uint32_t same_inode_cap;
	struct builder_found *found;
	uint32_t found_n, found_cap;
};

/* A descriptor found, before they are ordered by socket. */
struct builder_found {
	uint32_t target; /* index of the socket, or of the listener */
	uint32_t proc;
	int32_t fd;
	bool is_listener;
};

/* What a holder's process is called, where the finder knows; else it is read from /proc. */
struct builder_who {
	uint32_t pid;
	const char *comm; /* NULL: read it */
};

/* Starts a census with these namespaces. Returns 0 or -ENOMEM. */
int builder_start(struct builder *b, struct census *c, const struct netns_list *spaces);
void builder_free(struct builder *b);

/* Takes in a socket of namespace `netns` (index): keeps it, sums it (TIME_WAIT), or passes it over.
 * One that was taken in before, by its cookie, is brought up to date. Returns 0 or -ENOMEM. */
int builder_socket(struct builder *b, const struct tcp_sample *s, uint32_t netns);

/* As builder_socket(), and says which it is: an index, with BUILDER_IS_LISTENER for a listener, or
 * MAP_NONE where it was not kept. */
int builder_put(struct builder *b, const struct tcp_sample *s, uint32_t netns, uint32_t *which);

/* Forgets the TIME_WAIT sums of one namespace, before they are asked for again. */
void builder_forget_time_wait(struct builder *b, uint32_t netns);

/* Takes in a descriptor, by the socket's inode or by what builder_put() said. Returns 1 where it
 * belongs to a socket or listener that was kept, 0 where it does not, or -ENOMEM. */
int builder_holder_of_inode(struct builder *b, uint64_t inode, const struct builder_who *who,
			    int32_t fd);
int builder_holder_of(struct builder *b, uint32_t which, const struct builder_who *who, int32_t fd);

/* Orders the holders, finds the listeners, gives each socket its verdict. `all_seen`: every
 * descriptor of every process was looked at. Returns 0 or -ENOMEM. */
int builder_finish(struct builder *b, bool all_seen);
