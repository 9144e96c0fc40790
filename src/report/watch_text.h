/* SPDX-License-Identifier: MIT */
/* The watch's lines as text for people. */
#pragma once

#include "base/buf.h"
#include "tcp/watch.h"

/* Adds one line, and its stacks below it. */
void watch_text(struct buf *out, const struct tw_line *line);
