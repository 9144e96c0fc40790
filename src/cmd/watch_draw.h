/* SPDX-License-Identifier: MIT */
/* Rows and texts on a terminal that ncurses has. Names in them are strangers': letters only, of
 * which some take two columns or none. */
#pragma once

#include <ncurses.h>

#include "base/buf.h"

/* One row, cut where the terminal ends: ncurses would go on in the next. */
void draw_row(int y, attr_t look, const struct buf *b);

/* How many rows a text takes, its lines broken between words. */
int draw_text_rows(const char *text);

/* Draws what fits between the first row and the last of a text of which `skip` rows are above. */
void draw_text(const char *text, int skip);
