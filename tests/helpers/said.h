/* SPDX-License-Identifier: MIT */
/* How a program of the tests says what it did: between which two moments, and in which functions.
 */
#pragma once

#include <stdint.h>
#include <time.h>

/* Stays a function with a frame of its own in every stack. */
#define APART __attribute__((noinline, noclone, noipa))

/* Two moments between which something was done; CLOCK_REALTIME ns. { 0, 0 }: it was not. */
struct span {
	int64_t from, to;
};

static inline int64_t wall_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}
