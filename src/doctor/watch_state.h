/* SPDX-License-Identifier: MIT */
/* What the parts of the live doctor share among themselves. */
#pragma once

#include "doctor/ends.h"
#include "doctor/stacks.h"
#include "doctor/watch.h"

/* What is not said yet. */
struct late {
	uint64_t due; /* said then in any case; 0: when those before it are */
	bool reading; /* waits for stacks, or behind what does */
	struct watch_event event;
};

/* A descriptor of a listener in whose accept queue reported ends wait. */
struct listening {
	uint64_t sk;
	struct tw_owner owner;
};

/* Events that there is room for when there are none; bursts take more. */
#define WATCH_AT_REST 256

/* What is tried again where it fails for lack of memory. */
enum doctor_try {
	TRY_SEARCH,
	TRY_DRAIN,
	TRY_LOOK,
	TRY_MATCH,
	TRY_OWNERS,
	TRIES
};

struct doctor {
	struct watch *watch;
	struct doctor_setup setup;
	doctor_line_fn *each;
	void *arg;
	struct ends ends;
	uint64_t reported, received[WATCH_KINDS], forgotten;
	uint64_t unsuspected;      /* times that a process could not be made a suspect */
	uint64_t unentered;        /* namespaces that could not be looked into */
	struct watch_event *fresh; /* reported in this turn, owners not yet known; and their news */
	struct late *late;
	uint32_t fresh_count, fresh_cap, late_count, late_cap;
	struct listening *listening; /* as the walk that goes on has found them */
	uint32_t listening_count, listening_cap;
	bool owners_unseen; /* of some that are fresh */
	bool matching_all;  /* all descriptors are being looked at, for whom the ends belong to */
	struct stacks *stacks;
	struct watch_found found;  /* by the last search or glance */
	uint64_t searched, rested; /* the last search; the earliest that the next one may be */
	uint64_t searched_all;     /* the last search that left nothing that was due */
	uint64_t next_search, next_glance, next_match, next_walk;
	uint64_t next_late;  /* when the first end is due that waits for its partner */
	uint64_t next_again; /* when those ends are to be looked at that are `again` */
	int64_t renewing_ns; /* how long owners may be looked for anew, as of `renewed` */
	uint64_t renewed;
	bool unmatched; /* some came due since the last walk over descriptors */
	/* Changes of state that the kernel had missed at the last look for what they hid; the next
	 * look. */
	uint64_t missed, next_missed, next_audit;
	uint64_t netns;                /* inode of our own; 0: not known */
	uint64_t next_owners;          /* not before this are owners looked for */
	uint64_t failing_since[TRIES]; /* 0: it did not fail last */
	int poll;                      /* readable when something may have happened */
};

/* Gets the events; for watch_turn(). */
int watch_on_event(const struct watch_event *ev, void *doctor);

/* Whether it is in an accept queue, or was reset there, as of the event. */
bool watch_is_waiting(const struct watch_event *ev);

/* Whether an end still sends after its peer's FIN, or receives after its own, as of the event: a
 * half-close in use. `tick_ns` is a jiffy's length (0: not known, and nothing counts as lately
 * sent); `after_ns` the threshold, half of which without data is quiet. */
bool watch_is_flowing(const struct watch_event *ev, uint64_t tick_ns, uint64_t after_ns);

/* The cause as of the event, for an end that so many different processes hold; `all_seen`: no
 * other could. Without an inode it is in an accept queue, or was reset there. */
enum tcp_cause watch_cause(const struct watch_event *ev, const struct tcp_sample *sample,
			   uint32_t processes, bool all_seen, bool flowing);

/* The cause as of the event, with what is known of the end. */
enum tcp_cause watch_cause_now(const struct doctor *d, const struct open_end *end,
			       const struct watch_event *ev);

/* Makes the line and gives it to the doctor's caller. */
void watch_say(struct doctor *d, const struct open_end *end, const struct watch_event *ev,
	       enum tw_what what);

/* What is to be said next of an end with these flags, of which those in `before` were said: one of
 * WATCH_DEAD, WATCH_TOLD and WATCH_CLOSED, or 0: nothing. An event that came while the end was
 * reported may bring nothing that was not in the report, and one of two that came at the same time
 * may bring both. */
uint32_t watch_news(uint32_t flags, uint32_t before);

/* Says the report, or sees to it that it is said when it can be; what follows on it, likewise. */
void watch_due(struct doctor *d, struct open_end *end, const struct watch_event *ev);
void watch_follow_up(struct doctor *d, const struct watch_event *ev);

/* Says what waited and can be said now; with `all`, at the end, whatever it waits for, and waits up
 * to 5 s for stacks. */
void watch_say_late(struct doctor *d, bool all);

/* Says what waits of this end, in order, without the stacks that are not read. */
void watch_say_now(struct doctor *d, uint64_t sk, uint64_t began);

/* When something that waits for a stack is due, where that is before `next` (CLOCK_MONOTONIC, ns).
 */
uint64_t watch_next_late(const struct doctor *d, uint64_t next);

/* Gets the stacks; for watch_stacks(). */
void watch_keep_stack(const struct watch_stack *stack, void *doctor);

/* Gives the ends that were reported in this turn their holders, counted anew, and those that have
 * other lines, whose holders may be others now: by a walk over descriptors. To what waits to be
 * accepted, and has none, it gives its listener's. Returns 0 or -errno with text. */
int watch_find_fresh_owners(struct doctor *d, struct err *e);

/* Where only some processes are watched: matches with their descriptors what came due; to be called
 * when watch_next_matching() says; UINT64_MAX: there is nothing to match. */
int watch_match_owners(struct doctor *d, struct err *e);
uint64_t watch_next_matching(const struct doctor *d);

/* Whether a line about it would say that it is another now than when it was said last, of one that
 * was looked at again. */
bool watch_is_other_now(const struct doctor *d, const struct open_end *end,
			const struct watch_event *ev);

/* Whether the event makes a line whose holders are those of its moment: all but the first line's,
 * which has its own, and those of an end that was closed. Not so while looking for them would take
 * too much of the time: then they are the last that are known. */
bool watch_renews_owners(struct doctor *d, const struct watch_event *ev);

/* Whether the event is of an end that was reported in an accept queue and has left it since: its
 * holders are still the listener's. */
bool watch_was_accepted(const struct doctor *d, const struct watch_event *ev);
