/* SPDX-License-Identifier: MIT */
/* Text that others chose, in arrays that a NUL ends early. */
#pragma once

#include <string.h>

#include "base/text.h"
#include "report/style.h"

static inline void watch_field(struct buf *out, const char *field, size_t cap,
			       const struct report_style *style)
{
	text_escape(out, field, strnlen(field, cap), style->utf8);
}

#define WATCH_FIELD(out, array, style) watch_field((out), (array), sizeof(array), (style))
