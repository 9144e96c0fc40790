/* SPDX-License-Identifier: MIT */
/* Frees sockets in their holder's place.
 *
 * A plan is made from one census: what the filter means, and why each socket qualifies or is
 * refused. Nothing changes by it. Carrying it out takes one socket after the other: it is recorded,
 * proven anew to be the one that was listed, released in the one way that was asked for, and
 * recorded again. What has changed since the census is left alone and said. Then both ends are
 * looked at again.
 *
 * Proof. For a shutdown, on a copy of a holder's descriptor (kernel/holdcopy.h). For a reset, by an
 * exact look-up; the kernel compares the cookie once more itself (kernel/destroy.h). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "doctor/filter.h"
#include "kernel/session.h"
#include "tcp/release.h"

struct release {
	const struct census *census;
	const struct filter *filter;
	const struct session *session;
	enum release_method method;
	struct release_item *items; /* what the filter means, in the census's order */
	uint32_t n, cap;
	uint32_t qualified; /* items that may be released */
	int *diag; /* a sock_diag socket per namespace of the census; -1: not opened, -2: cannot be
		    */
};

/* Whether the filter names anything at all: without, everything would be meant. */
bool release_is_aimed(const struct filter *f);

/* Makes the plan. The three referred to must outlive it. Sockets that end by themselves or are in
 * use are meant only where the filter names their state or cause; dead ones also where it means
 * nothing else, so that the plan says why none is released. Returns 0, to be freed with
 * release_free(), or -errno with text. Changes nothing; reads /proc. */
int release_plan(struct release *out, const struct census *c, const struct filter *f,
		 const struct session *session, enum release_method method, struct err *e);
void release_free(struct release *r);

enum release_phase {
	RELEASE_BEFORE,
	RELEASE_AFTER,
};

/* Records one step; called before anything is done to the item and after. Returns 0, or -errno with
 * text, upon which nothing more is released. */
typedef int release_record_fn(const struct release_item *item, enum release_phase phase, void *arg,
			      struct err *e);

/* Releases the items that qualify, in order, and sets their results. `stop`, asked before each,
 * ends the run early. Returns 0 whatever the results; -ECANCELED where it was stopped; the record's
 * -errno, with text. Blocks for the records only. */
int release_carry_out(struct release *r, release_record_fn *record, bool (*stop)(void), void *arg,
		      struct err *e);

/* Looks where each qualified item and its other end, where that is on this host, are now. Before
 * carrying out: fills `before`; after: `after`, waiting up to `wait_ms` until the ends are gone. An
 * end that cannot be looked at is left unknown. */
void release_look(struct release *r, bool again, uint32_t wait_ms);
