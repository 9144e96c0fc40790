/* SPDX-License-Identifier: MIT */
/* The rows of a diagram in text; lab_text.c puts them together. */
#pragma once

#include "report/story.h"
#include "report/style.h"

#define DIAGRAM_TIME 6 /* columns of the time: "999.9 " */

struct diagram {
	struct buf *out;
	const struct tl_run *run;
	const struct report_style *style;
	struct story story;
	unsigned columns; /* in all */
	unsigned call;    /* of a call's column, the gap to the wire included */
	unsigned wire;    /* between the bars */
	bool fields;      /* sequence numbers fit on every arrow */
};

/* Divides the width of the terminal. `run` and `style` must outlive the diagram. Returns 0 or
 * -ENOMEM; diagram_end() frees what it holds. */
int diagram_start(struct diagram *d, struct buf *out, const struct tl_run *run,
		  const struct report_style *style);
void diagram_end(struct diagram *d);

/* Adds the text in that paint. */
void diagram_paint(struct diagram *d, enum paint paint, const char *text);

/* Adds the time in milliseconds, in seconds from a second on; DIAGRAM_TIME columns up to 2 h. */
void diagram_time(struct diagram *d, int64_t t_us);

/* Adds a row of states, calls and an arrow: as many lines as it needs. */
void diagram_row(struct diagram *d, const struct story_row *row);

/* Columns left of the wire, without the time. */
unsigned diagram_side(const struct diagram *d);
