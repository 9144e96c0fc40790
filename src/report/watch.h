/* SPDX-License-Identifier: MIT */
/* The watch on paper: its lines, the close lags and the summary, as text for people and as JSON. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "report/style.h"
#include "tcp/lag.h"
#include "tcp/watch.h"

#define WATCH_SCHEMA 1

/* Adds the line that begins the watch. `reads`: the tier's name. */
void watch_text_start(struct buf *out, uint64_t after_ns, const char *reads);

/* Stacks that text for people has shown, so that it need not again. Empty: all zero. */
#define WATCH_SHOWN 256

struct watch_shown {
	struct {
		uint64_t hash;   /* of its text */
		int64_t wall_ns; /* of the line that it stands below; 0: a free place */
	} stacks[WATCH_SHOWN];
	unsigned next; /* the place that is taken next */
};

/* Adds one line for people, and its stacks below it; of one that was shown in the day before only
 * the place, and when (`shown` NULL: whole in each case). Nothing for TW_CLOSED: TW_OVER follows
 * and says as much. */
void watch_text(struct buf *out, const struct tw_line *line, struct watch_shown *shown,
		const struct report_style *style);

/* Adds the line alone, also of TW_CLOSED. */
void watch_text_head(struct buf *out, const struct tw_line *line, const struct report_style *style);

/* What the title of `made_stack` is. */
const char *watch_made_title(const struct tw_line *line);

/* Adds a stack, a line for each call, innermost first. Calls that repeat in turn are counted. */
void watch_text_stack(struct buf *out, const char *title, const struct tw_stack *stack,
		      const struct report_style *style);
/* The same for a line of that time, as watch_text() shows it. */
void watch_text_stack_once(struct buf *out, const char *title, const struct tw_stack *stack,
			   int64_t wall_ns, struct watch_shown *shown,
			   const struct report_style *style);

/* Which stacks are taken. */
struct watch_taking {
	bool stacks; /* any */
	bool made;   /* where sockets were made, from the start */
};

/* Adds the line, and below it both stacks, as text from watch_text_stack(), or why there is none
 * (NULL). */
void watch_text_whole(struct buf *out, const struct tw_line *line, const char *told,
		      const char *made, const struct watch_taking *taking,
		      const struct report_style *style);

/* Adds the time of day, to a millisecond. */
void watch_text_clock(struct buf *out, int64_t wall_ns);

/* Adds the close lags from the start to `wall_ns` as a table, each with its histogram where `draw`.
 * Nothing without rows. */
void watch_text_lags(struct buf *out, int64_t wall_ns, const struct lag_row *rows, size_t n,
		     bool draw, const struct report_style *style);

/* Adds the line that ends the watch, and what was lost. */
void watch_text_summary(struct buf *out, const struct tw_summary *s);

/* Says that the command has ended, where so many of its children go on; nothing where none does. */
void watch_text_command(struct buf *out, unsigned left_running);

/* Says that the processes that were named, so many, have all ended. */
void watch_text_ended(struct buf *out, unsigned processes);

/* The same as lines of JSON; unclosed-watch(1) names their members. `wall_ns`: the time of the
 * event. `accepts`: through what sockets are seen to be accepted; NULL: they are not. */
void watch_json_start(struct buf *out, int64_t wall_ns, uint64_t after_ns, const char *reads,
		      const char *accepts);
void watch_json(struct buf *out, const struct tw_line *line);
/* `since_ns`: the wall clock's time from which on lags are counted. */
void watch_json_lag(struct buf *out, int64_t wall_ns, int64_t since_ns, const struct lag_row *row);
void watch_json_summary(struct buf *out, int64_t wall_ns, const struct tw_summary *s);
/* `number`: of the signal that ended it where `killed`, else its status. */
void watch_json_command(struct buf *out, int64_t wall_ns, bool killed, int number,
			unsigned left_running);
void watch_json_ended(struct buf *out, int64_t wall_ns);
