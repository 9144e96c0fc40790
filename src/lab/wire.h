/* SPDX-License-Identifier: MIT */
/* The wire: carries one frame at a time between the two hosts, asks both kernels for the states
 * before and after, and fails on purpose where the scenario says so. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "lab/late.h"
#include "lab/record.h"

#define WIRE_MAX_RULES  32
#define WIRE_MAX_QUEUED 256

enum wire_action {
	WIRE_DROP,
	WIRE_HOLD,      /* until wire_release() */
	WIRE_DELAY,     /* by rule.delay_us */
	WIRE_DUPLICATE, /* deliver twice */
	WIRE_WATCH,     /* let it pass, and count it */
	WIRE_REORDER,   /* deliver after the next frame of the same host, or 20 ms later */
};

/* Chooses packets. Zero means any. */
struct wire_rule {
	uint8_t action;      /* enum wire_action */
	uint8_t from;        /* enum tl_side; TL_NOBODY: either */
	uint8_t flags_set;   /* all of these are set */
	uint8_t flags_clear; /* none of these is set */
	bool only_data;      /* has data */
	bool only_empty;     /* has none */
	int32_t length;      /* bytes of data; -1: any */
	uint32_t skip;       /* the first so many matches pass */
	uint32_t times;      /* then so many are chosen; 0: all */
	uint32_t percent; /* 1 to 99: each match is chosen with this chance, by the wire's seed */
	int64_t delay_us;
	/* state */
	bool active;
	uint32_t seen, chosen;
};

struct wire_frame {
	bool used;
	uint8_t from;
	uint16_t len;
	bool overtaken; /* due as soon as another frame of the same host has arrived */
	int64_t due_us; /* INT64_MAX: held */
	uint64_t order;
	uint8_t bytes[SEGMENT_FRAME_MAX];
};

struct wire {
	const struct lab_net *net;
	struct record *rec;
	bool cut;
	uint64_t seed;
	uint32_t loss;     /* percent of all frames that are lost by chance; 0 to 99 */
	uint64_t taken[2]; /* frames of each host so far */
	uint64_t orders;
	struct wire_rule rules[WIRE_MAX_RULES];
	struct wire_frame slot[2]; /* the next frame of each host, taken but not yet carried */
	int64_t slot_ns[2];
	struct wire_frame queued[WIRE_MAX_QUEUED]; /* held and delayed */
	struct late late;
	uint32_t overflowed;
};

/* Begins. What chance decides follows from the seed, the host and the number of the frame alone, so
 * that the same seed gives the same losses in whatever order the hosts happen to send. */
void wire_start(struct wire *w, const struct lab_net *net, struct record *rec, uint64_t seed,
		uint32_t loss);

/* Carries one frame: the one that was sent first of those that wait. Returns 1 when it did, 0 where
 * none waits, -errno with text. Never blocks. */
int wire_carry(struct wire *w, struct err *e);

/* Whether a frame waits for wire_carry() right now, but for those that are held or delayed. */
bool wire_has_more(const struct wire *w);

/* Frames so far that the kernel threw away because they waited for wire_carry() in too great a
 * number: they are lost unseen. */
uint32_t wire_overflowed(struct wire *w);

/* Microseconds until a delayed frame is due, -1 where none is. */
int64_t wire_next_due_us(const struct wire *w);

/* Adds a rule. Returns its number or -ENOSPC. */
int wire_add_rule(struct wire *w, const struct wire_rule *rule);

/* How many packets a rule has chosen, also after its end; -ENOENT where there is no such rule. */
int64_t wire_rule_chosen(const struct wire *w, int number);

/* Ends a rule, or all with -1. */
void wire_end_rule(struct wire *w, int number);

/* Delivers what is held, in order or in reverse. Returns how many, or -errno with text. */
int wire_release(struct wire *w, bool reverse, struct err *e);

/* Delivers a made-up segment to `to`, as if the other end of `conn` had sent it; sequence numbers
 * are relative, as in the record, and `len` is the number of bytes of data (FORGE_DATA_MAX at
 * most). Returns 0 or -errno with text. */
int wire_inject(struct wire *w, uint16_t conn, enum tl_side to, uint8_t flags, uint32_t seq,
		uint32_t ack, uint16_t len, struct err *e);
