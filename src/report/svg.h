/* SPDX-License-Identifier: MIT */
/* The sequence diagram as a picture. */
#pragma once

#include "base/buf.h"
#include "report/story.h"
#include "tcp/timeline.h"

/* Adds a whole SVG document with its own style, light and dark. Returns 0 or -ENOMEM. */
int lab_svg(struct buf *out, const struct tl_run *run);

/* Adds the diagram as an <svg> element for a page that brings the style. Each row is a group of
 * class "row" with data-client, data-server (the states after it), aria-label (the row in words),
 * and, on packets, data-packet: flags|bytes|seq|ack|window|fate|direction. */
void svg_diagram(struct buf *out, const struct tl_run *run, const struct story *story);
