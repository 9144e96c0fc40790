/* SPDX-License-Identifier: MIT */
/* TCP sockets and who holds them, all namespaces in one pass: the BPF task_file iterator. Needs
 * CAP_BPF and CAP_PERFMON, and a kernel with BTF, 5.13 or later. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "tcp/sample.h"

/* One descriptor. */
struct sockets_found {
	struct tcp_sample
		s; /* s.netns is set. Of an MPTCP connection: only that, inode and mptcp */
	uint32_t pid;
	int32_t fd;
	char comm[16]; /* of the process as it was in that moment; bytes as it chose them */
	bool is_mptcp;
};

typedef int sockets_each_fn(const struct sockets_found *f, void *arg);

struct sockets;

/* Loads the program. Returns 0 with an owned handle, or -errno with one line of why this tier is
 * not to be had. */
int sockets_open(struct sockets **out, struct err *e);
void sockets_close(struct sockets *s);

/* One pass, which tells of sockets in `states` (TCP_BIT set) and of all MPTCP connections. A socket
 * that several descriptors hold is told of once for each. Returns 0, the callback's non-zero, or
 * -errno with text. */
int sockets_pass(struct sockets *s, unsigned states, sockets_each_fn *each, void *arg,
		 struct err *e);

/* CLOSE_WAIT in one namespace: how many, and a sum over their cookies. Two equal counts mean the
 * same sockets. */
struct sockets_count {
	uint64_t n, sum;
};

/* Adds a socket to the count. */
void sockets_count(struct sockets_count *c, const struct tcp_sample *s);

/* Counts what the kernel has in the calling thread's namespace, held by a descriptor or not, in a
 * third of the time that sock_diag takes to list it: CLOSE_WAIT, and how many are in one of the
 * states `others` (TCP_BIT set). An entry of the TIME_WAIT table that FIN_WAIT_2 became counts as
 * both. Returns 0 or -errno with text. */
int sockets_tally(struct sockets *s, unsigned others, struct sockets_count *out, uint64_t *others_n,
		  struct err *e);

/* The pure decoder of one record: `tick_ns` is the kernel's tick. Stamps count 32 bits of ticks: an
 * age up to that, less 5 s, is told rightly, UINT32_MAX standing for more milliseconds. Returns the
 * record's length, or -EBADMSG for bytes that are none. Never reads past `len`. */
int sockets_decode(const void *data, size_t len, uint32_t tick_ns, struct sockets_found *out);
