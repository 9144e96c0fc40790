/* SPDX-License-Identifier: MIT */
/* Network namespaces: which there are, and how to ask in another one. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "tcp/census.h"

struct netns {
	uint64_t ino;
	uint32_t pid;  /* lowest process seen in it; 0: none */
	char name[64]; /* of its mount under /run/netns or the like; "" where it has none */
	char path[96]; /* opens it: /proc/PID/ns/net or the mount */
};

struct netns_list {
	struct netns *v;
	uint32_t n, cap;
	uint32_t unseen;                         /* processes whose namespace may not be read */
	uint32_t unseen_pid[CENSUS_UNTOLD_PIDS]; /* of them, the first */
};

/* Lists the namespaces of all processes that may be looked at, and those that are mounted. The
 * caller's own is always the first. Returns 0 or -errno with text. */
int netns_list(struct netns_list *out, struct err *e);
void netns_list_free(struct netns_list *l);

/* Inode of the calling thread's network namespace; 0 where it cannot be read. */
uint64_t netns_own(void);

/* Runs `fn` inside the namespace, in the calling thread, and comes back. The namespace is checked
 * to be still the one meant (-ESTALE). Returns fn's value, or -errno with text; where coming back
 * fails the process cannot go on in a wrong namespace and the error says so (-ENOTRECOVERABLE). */
int netns_run(const struct netns *ns, int (*fn)(void *arg, struct err *e), void *arg,
	      struct err *e);

/* The numbers of the calling thread's namespace: net.ipv4.ip_local_port_range, tcp_fin_timeout, and
 * what /proc/net/sockstat and sockstat6 count. Zeroes where they cannot be read. */
struct netns_numbers {
	uint16_t port_lo, port_hi;
	uint32_t fin_timeout_ms;
	bool has_sockstat;
	uint32_t in_use; /* TCP sockets in the kernel's tables, of both families, listeners included
			  */
	uint32_t time_wait; /* entries in TIME_WAIT, or in FIN_WAIT_2 without a socket */
};
void netns_numbers(struct netns_numbers *out);
