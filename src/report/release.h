/* SPDX-License-Identifier: MIT */
/* `unclosed release` on paper: the plan, the audit lines, what became of both ends. */
#pragma once

#include <stdint.h>
#include <time.h>

#include "base/buf.h"
#include "report/style.h"
#include "tcp/release.h"

/* The version of the objects that release_json() writes. It grows when a field changes its meaning
 * or goes; new fields may come without. */
#define RELEASE_SCHEMA 1

/* Who does it, when, by which words. */
struct release_who {
	enum release_method method;
	uint32_t uid, pid;
	uint64_t older_ms; /* what is younger needs nobody yet */
	int argc;
	char *const *argv;
};

/* Adds one line of JSON about an item: schema, time (RFC 3339, UTC), phase, method, uid, pid,
 * command, socket (as in `unclosed list --json`), and as they apply refusal, copied_from [pid, fd],
 * result, error, own and peer [before, after]. `phase` is one of "plan", "before", "after",
 * "became". Returns 0 or -ENOMEM. */
int release_json(struct buf *out, const struct census *c, const struct release_item *item,
		 const char *phase, const struct release_who *who, const struct timespec *now);

/* Adds one or two lines for a person: what would be done and why it qualifies, or why it is
 * refused.
 */
void release_text_plan(struct buf *out, const struct census *c, const struct release_item *item,
		       enum release_method method, const struct report_style *style);

/* Adds one line: what was done, and what became of both ends. */
void release_text_done(struct buf *out, const struct census *c, const struct release_item *item,
		       enum release_method method, const struct report_style *style);
