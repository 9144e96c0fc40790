/* SPDX-License-Identifier: MIT */
/* What the parts of the live doctor share among themselves. */
#pragma once

#include "doctor/ends.h"
#include "doctor/stacks.h"
#include "doctor/watch.h"

struct listener {
	uint32_t netns;
	uint16_t port;
	struct tw_owner owner;
};

/* A report that is not said yet. */
struct late {
	uint64_t due;
	struct watch_event event;
};

struct doctor {
	struct watch *watch;
	struct doctor_setup setup;
	doctor_line_fn *each;
	void *arg;
	struct ends ends;
	uint64_t reported, received[WATCH_KINDS], forgotten;
	struct watch_event *fresh; /* reported in this turn, owners not yet known; and their news */
	struct late *late;
	struct listener *listeners;
	uint32_t fresh_count, fresh_cap, late_count, late_cap, listener_count, listener_cap;
	uint32_t hidden;    /* of `ends` */
	bool owners_unseen; /* of some that are fresh */
	struct stacks *stacks;
	struct watch_found found; /* by the last search */
	uint64_t next_search, next_match, next_walk;
	bool unmatched;        /* some came due since the last walk over descriptors */
	struct tw_owner asked; /* whose container was asked for last, and what it is */
	char container[72];
	int32_t suspected; /* who was noted as a suspect last */
};

/* Makes the line and gives it to the doctor's caller. */
void watch_say(struct doctor *d, const struct open_end *end, const struct watch_event *ev,
	       enum tw_what what);

/* Gets the stacks; for watch_stacks(). */
void watch_keep_stack(const struct watch_stack *stack, void *doctor);
