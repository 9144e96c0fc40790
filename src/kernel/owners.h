/* SPDX-License-Identifier: MIT */
/* Who holds a socket: descriptors, from /proc. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "tcp/census.h"

/* One descriptor that is a socket. */
struct owner {
	uint64_t inode;
	uint32_t pid;
	int32_t fd;
};

/* Called for each; return non-zero to stop. */
typedef int owner_each_fn(const struct owner *o, void *arg);

/* Walks the descriptors of every process whose /proc/PID/fd may be read, sockets only. `*unseen`
 * tells the processes that may not be read (not those that ended meanwhile, and not the kernel's
 * own threads, which have none). Returns 0, the callback's non-zero, or -errno with text. Reads
 * /proc only. */
int owners_walk(owner_each_fn *each, void *arg, struct census_unseen *unseen, struct err *e);

/* The pure decoder of a descriptor's link: "socket:[123]". Returns the inode, or 0. */
uint64_t owner_socket_inode(const char *link, size_t len);

/* Looks into a descriptor of another process that may be a TCP socket without a connection, which
 * sock_diag does not list: takes a copy with pidfd_getfd(2), asks it, closes it. Nothing of the
 * socket changes. Returns 1 with `s` filled (a peer that the kernel no longer tells is zero); 0
 * where it is no TCP socket, or another one than `o` says; -errno where it may not be looked at. */
int owner_look(const struct owner *o, struct tcp_sample *s);
