/* SPDX-License-Identifier: MIT */
/* mkread reads the ends of streams by every way that there is, each in a function of its own, and
 * says which, when, and in which thread. */
#pragma once

#include <stdbool.h>

#include "tests/helpers/said.h"

/* One way to read. Each returns what the call that counts did; `told` is when. */
typedef long way_fn(int fd);
extern __thread struct span told;

struct way {
	const char *name;
	way_fn *read;
	const char *
		functions; /* from the system call outwards; "": a thread of the kernel's does it */
	bool with_data;    /* the peer says something before its FIN */
	bool at_once;      /* in one packet with the FIN */
	bool waits;        /* it waits already when the FIN comes */
	long gives;        /* what it is to return */
};
extern const struct way ways[];

/* Says why on stderr, as perror(), and exits. */
void die(const char *what) __attribute__((noreturn));

/* ring.c: one operation of io_uring's, from its submission to its end. -EPERM: refused. */
struct io_uring_sqe;
long ring_run(const struct io_uring_sqe *sqe);
