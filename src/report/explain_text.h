/* SPDX-License-Identifier: MIT */
#pragma once

#include "report/style.h"
#include "tcp/explain.h"

/* Adds one state or cause as a paragraph with what keeps it, what ends it, who has to act, the
 * section of the RFC and the scenario that shows it. */
void explain_text(struct buf *out, const struct explain *x, const struct report_style *style);

/* Adds all states and causes, a line or two each. */
void explain_text_all(struct buf *out, const struct report_style *style);

#define EXPLAIN_JSON_SCHEMA 1

/* Adds one as a JSON object on one line. `is_state` tells a state from a cause. Returns 0 or
 * -ENOMEM. */
int explain_json(struct buf *out, const struct explain *x, bool is_state);
