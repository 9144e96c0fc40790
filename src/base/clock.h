/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>
#include <time.h>

#define CLOCK_NS_PER_MS 1000000LL
#define CLOCK_NS_PER_S  1000000000LL

/* CLOCK_MONOTONIC in nanoseconds. Cannot fail on Linux. */
static inline int64_t clock_mono_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * CLOCK_NS_PER_S + ts.tv_nsec;
}

/* The processor's time that this thread has taken, in nanoseconds: what its work costs, also where
 * others are let before it. Cannot fail on Linux. */
static inline int64_t clock_thread_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * CLOCK_NS_PER_S + ts.tv_nsec;
}

/* `ns` after `from`, neither negative; INT64_MAX, which never comes, where it is later than that.
 */
static inline int64_t clock_later(int64_t from, int64_t ns)
{
	return ns > INT64_MAX - from ? INT64_MAX : from + ns;
}

/* HZ=250, where the clock does not say. */
#define CLOCK_USUAL_TICK_NS 4000000

/* The length of the kernel's tick, in nanoseconds, for a program that was not told HZ. */
static inline uint32_t clock_tick_ns(void)
{
	struct timespec ts;

	/* The coarse clock advances once a tick. */
	if (clock_getres(CLOCK_MONOTONIC_COARSE, &ts) < 0 || ts.tv_sec || ts.tv_nsec < 100000)
		return CLOCK_USUAL_TICK_NS;
	return (uint32_t)ts.tv_nsec;
}
