/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buf.h"
#include "tcp/timeline.h"

/* The version of the objects that lab_json() writes. It grows when a field changes its meaning or
 * goes; new fields may come without. */
#define LAB_JSON_SCHEMA 1

/* Adds the run as one JSON object on one line, ended by a newline. Its fields are described in
 * unclosed-lab(1). Text from programs is escaped as on a terminal, and so always valid UTF-8.
 * Returns 0 or -ENOMEM. */
int lab_json(struct buf *out, const struct tl_run *run);
