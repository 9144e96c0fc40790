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

/* Adds one line for people, and its stacks below it. Nothing for TW_CLOSED: TW_OVER follows and
 * says as much. */
void watch_text(struct buf *out, const struct tw_line *line, const struct report_style *style);

/* Adds the close lags as a table, each with its histogram where `draw`. Nothing without rows. */
void watch_text_lags(struct buf *out, const struct lag_row *rows, size_t n, bool draw,
		     const struct report_style *style);

/* Adds the line that ends the watch, and what was lost. */
void watch_text_summary(struct buf *out, const struct tw_summary *s);

/* Says that the command has ended, where so many of its children go on; nothing where none does. */
void watch_text_command(struct buf *out, unsigned left_running);

/* Says that the processes that were named, so many, have all ended. */
void watch_text_ended(struct buf *out, unsigned processes);

/* The same as lines of JSON; unclosed-watch(1) names their members. */
void watch_json_start(struct buf *out, uint64_t after_ns, const char *reads, const char *accepts);
void watch_json(struct buf *out, const struct tw_line *line);
void watch_json_lag(struct buf *out, const struct lag_row *row);
void watch_json_summary(struct buf *out, const struct tw_summary *s);
/* `number`: of the signal that ended it where `killed`, else its status. */
void watch_json_command(struct buf *out, bool killed, int number, unsigned left_running);
void watch_json_ended(struct buf *out);
