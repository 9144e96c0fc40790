/* SPDX-License-Identifier: MIT */
#include "report/xml.h"

#include <string.h>

#include "report/story.h"

static const char *entity(char c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;";
	default:
		return NULL;
	}
}

void xml_text(struct buf *out, const char *text)
{
	for (; *text; text++) {
		const char *name = entity(*text);

		if (name)
			buf_str(out, name);
		else
			buf_add(out, text, 1);
	}
}

void xml_field(struct buf *out, const char *field, size_t cap)
{
	_buf_ struct buf text = { 0 };

	story_field(&text, field, cap, true);
	if (text.data)
		xml_text(out, text.data);
	out->failed |= text.failed;
}
