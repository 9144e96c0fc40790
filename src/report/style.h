/* SPDX-License-Identifier: MIT */
/* How text for a terminal looks: colours, letters, width. The caller finds out what the terminal
 * can do (and heeds NO_COLOR); nothing here looks at the environment. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* What a diagram, and text beside it, need. */
#define STYLE_COLUMNS_MIN 80

struct report_style {
	bool colour;      /* SGR sequences may be used */
	bool utf8;        /* else plain ASCII */
	unsigned columns; /* of the terminal; below STYLE_COLUMNS_MIN counts as that */
};

enum paint {
	PAINT_PLAIN,
	PAINT_BOLD,
	PAINT_DIM,
	PAINT_GOOD, /* passed, open */
	PAINT_BAD,  /* failed, lost */
	PAINT_HELD, /* CLOSE_WAIT: waits for a program */
	PAINT_WAIT, /* waits for the peer or a timer */
};

/* Adds the text in that paint, or plainly. */
void style_paint(struct buf *out, const struct report_style *style, enum paint paint,
		 const char *text);

/* The paint of a state (TCPS_*). */
enum paint style_state_paint(unsigned state);

/* Adds `text` broken at spaces into lines of at most `width` characters, the first at the current
 * place, the others after `indent` spaces; ends with a newline. A word longer than the width stands
 * alone. */
void style_wrap(struct buf *out, const char *text, unsigned indent, unsigned width);

/* Adds `count` times the character (UTF-8). */
void style_repeat(struct buf *out, const char *letter, size_t count);
