/* SPDX-License-Identifier: MIT */
#include "report/json.h"

#include <string.h>

#include "base/text.h"

void json_quote(struct buf *out, const char *bytes, size_t len)
{
	_buf_ struct buf safe = { 0 };
	const char *p;

	text_escape(&safe, bytes, len, true);
	out->failed |= safe.failed;
	p = safe.data ? safe.data : "";
	buf_add(out, "\"", 1);
	while (*p) {
		size_t plain = strcspn(p, "\"\\");

		buf_add(out, p, plain);
		p += plain;
		if (!*p)
			break;
		buf_add(out, "\\", 1);
		buf_add(out, p++, 1);
	}
	buf_add(out, "\"", 1);
}
