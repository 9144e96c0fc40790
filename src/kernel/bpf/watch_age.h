/* SPDX-License-Identifier: MIT */
/* How old a half-close is that was there before. The socket does not remember when the peer's FIN
 * came. But the FIN carries an ACK, and the socket keeps when the last one came, in jiffies. */
#pragma once

#ifndef __bpf__
#include <linux/types.h>
#include <stdbool.h>
#endif

/* Of a socket in CLOSE_WAIT, and of the moment. */
struct watch_stamps {
	__u64 clock;   /* of the last segment that came or went, ns (tcp_mstamp) */
	__u64 now;     /* CLOCK_MONOTONIC, ns */
	__u32 ack;     /* jiffies at the last ACK that came (rcv_tstamp); 0: none did */
	__u32 jiffies; /* now, or shortly before */
	__u32 tick;    /* a jiffy's length, ns */
	bool last;     /* no segment came after the FIN */
};

/* A stamp may be made between two looks at the jiffies: so many ticks it may be ahead. */
#define WATCH_LATE_TICKS 5000u

/* Whether it is known when the FIN came, to a jiffy; `since` gets that, or by when it had come, ns.
 * Where jiffies have wrapped since the start of the machine, the stamp may be of an earlier round.
 */
static inline bool watch_fin_came(const struct watch_stamps *s, __u64 *since)
{
	__u32 ticks = s->jiffies - s->ack;
	__u64 age, came;

	*since = s->clock;
	if (!s->ack || !s->tick)
		return false;
	if (-ticks < WATCH_LATE_TICKS)
		ticks = 0;
	age = (__u64)ticks * s->tick;
	if (age > s->now)
		return false;
	came = s->now - age;
	if (!s->last) {
		came += 2ULL * s->tick; /* jiffies may be behind: the age is at least so much */
		*since = s->clock < came ? s->clock : came;
		return false;
	}
	if (s->now >> 32 >= s->tick) { /* 2^32 ticks */
		came += 2ULL * s->tick;
		*since = s->clock < came ? s->clock : came;
		return false;
	}
	*since = s->clock < came + s->tick ? s->clock : came; /* the finer, where it is the same */
	return true;
}
