/* SPDX-License-Identifier: MIT */
/* Shows the matrix of closing states and events, and lists scenarios, as text and JSON. */
#pragma once

#include "base/buf.h"
#include "tcp/matrix.h"
#include "tcp/timeline.h"

#define MATRIX_JSON_SCHEMA 1

/* A table whose cells are numbers of scenarios and letters of reasons, with both listed below.
 * Returns 0 or -ENOMEM. */
int matrix_text(struct buf *out);

/* One JSON object on one line. Returns 0 or -ENOMEM. */
int matrix_json(struct buf *out);

/* What a scenario says of itself, as one JSON object on one line; `run` was made with
 * lab_options.describe. Returns 0 or -ENOMEM. */
int scenario_json(struct buf *out, const char *theme, const struct tl_run *run);
