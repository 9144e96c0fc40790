/* SPDX-License-Identifier: MIT */
/* Strings of the JSON that is written by hand, where a library would be too slow. */
#pragma once

#include <stddef.h>

#include "base/buf.h"

/* Adds the bytes as a string of JSON, quotes included. Anybody may have chosen them: they are made
 * safe as for a terminal first (text_escape(), a lone byte 0xff becomes \xff), which leaves quotes
 * and backslashes to escape, and valid UTF-8. */
void json_quote(struct buf *out, const char *bytes, size_t len);
