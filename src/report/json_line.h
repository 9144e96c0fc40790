/* SPDX-License-Identifier: MIT */
/* One object of JSON a line, as scripts read it. */
#pragma once

#include <jansson.h>

#include "base/buf.h"

/* Writes `o` (which may be NULL where memory was out) without spaces, its names in the order in
 * which they were set, and a line feed; takes it over. Returns 0 or -ENOMEM. */
int json_line(struct buf *out, json_t *o);
