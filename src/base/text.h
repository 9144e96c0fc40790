/* SPDX-License-Identifier: MIT */
/* Text for people: made safe, measured, compared. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* Adds bytes from a stranger so that a terminal can do nothing with them but show them:
 * printable ASCII and valid UTF-8 letters as they are (ASCII only where `utf8` is false), \n, \r,
 * \t and \\ by name, all else as \xNN. C1 controls and bidirectional overrides count as
 * unprintable. */
void text_escape(struct buf *out, const void *bytes, size_t len, bool utf8);

/* Columns that a valid UTF-8 string takes on a terminal. Counts code points: this project's own
 * output has no wide or combining characters. */
size_t text_width(const char *s);

/* Edits (insert, delete, replace) between two names; for "did you mean". */
unsigned text_distance(const char *a, const char *b);

/* The name nearest to `word` among `n`, or NULL where none is near enough to suggest. */
const char *text_nearest(const char *word, const char *const *names, size_t n);

/* Whether the locale in effect shows UTF-8. Call setlocale() first. */
bool text_locale_is_utf8(void);
