/* SPDX-License-Identifier: MIT */
/* A lab run for people: a sequence diagram in text, and what all runs together show. */
#pragma once

#include "report/style.h"
#include "tcp/timeline.h"

/* Adds the diagram of one run: heading, rows, what keeps each end, verdicts, how it ended. 80
 * columns suffice; more show sequence numbers, acknowledgements and windows. Everything that comes
 * from programs or scripts is escaped. Returns 0 or -ENOMEM (`out` then holds a part). */
int lab_text(struct buf *out, const struct tl_run *run, const struct report_style *style);

/* Adds one line: the name, passed or failed, the time, the first expectation that was not met. For
 * --quiet and for progress. */
void lab_text_line(struct buf *out, const struct tl_run *run, const struct report_style *style);

/* Adds the sum of `n` runs, and each conclusion that runs bear on with "holds" or "does not hold
 * here" and the runs that show it. `wall_us` is how long all took together. */
void lab_text_summary(struct buf *out, const struct tl_run *const runs[], size_t n, int64_t wall_us,
		      const struct report_style *style);
