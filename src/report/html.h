/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "tcp/timeline.h"

/* Adds one self-contained HTML page for `n` runs: nothing is loaded from anywhere. Each run is a
 * diagram to step through, forwards and backwards, with both ends' state machines beside it, the
 * fields of the packet, and the explanation of the states. Works by mouse, touch, keyboard and
 * screen reader; shows all diagrams whole where scripts are off or on paper. Returns 0 or -ENOMEM.
 */
int lab_html(struct buf *out, const struct tl_run *const runs[], size_t n);
