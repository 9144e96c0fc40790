/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buf.h"

/* Adds one end's state machine (RFC 9293 figure 5) as an SVG element. Each state is a group with
 * data-state="FIN_WAIT_2", each arc a path with data-arc="FIN_WAIT_1 FIN_WAIT_2"; the page lights
 * them. `end` is "client" or "server". */
void machine_svg(struct buf *out, const char *end);
