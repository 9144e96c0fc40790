/* SPDX-License-Identifier: MIT */
#include "report/style.h"

#include <string.h>

#include "base/text.h"
#include "tcp/state.h"

void style_paint(struct buf *out, const struct report_style *style, enum paint paint,
		 const char *text)
{
	static const char *const codes[] = {
		[PAINT_PLAIN] = "",        [PAINT_BOLD] = "\033[1m",   [PAINT_DIM] = "\033[2m",
		[PAINT_GOOD] = "\033[32m", [PAINT_BAD] = "\033[1;31m", [PAINT_HELD] = "\033[1;35m",
		[PAINT_WAIT] = "\033[33m",
	};

	if (!style->colour || paint == PAINT_PLAIN || !*text) {
		buf_str(out, text);
		return;
	}
	buf_printf(out, "%s%s\033[0m", codes[paint], text);
}

enum paint style_state_paint(unsigned state)
{
	switch (state) {
	case TCPS_ESTABLISHED:
		return PAINT_GOOD;
	case TCPS_CLOSE_WAIT:
		return PAINT_HELD;
	case TCPS_FIN_WAIT1:
	case TCPS_FIN_WAIT2:
	case TCPS_CLOSING:
	case TCPS_LAST_ACK:
		return PAINT_WAIT;
	case TCPS_GONE:
	case TCPS_TIME_WAIT:
	case TCPS_CLOSE:
		return PAINT_DIM;
	default:
		return PAINT_PLAIN;
	}
}

void style_wrap(struct buf *out, const char *text, unsigned indent, unsigned width)
{
	size_t at = 0;

	while (*text) {
		size_t word = strcspn(text, " "), wide = 0;

		for (size_t i = 0; i < word; i++)
			wide += ((unsigned char)text[i] & 0xc0) != 0x80;
		if (at > 0 && at + 1 + wide > width) {
			buf_str(out, "\n");
			buf_fill(out, ' ', indent);
			at = 0;
		}
		if (at > 0) {
			buf_str(out, " ");
			at++;
		}
		buf_add(out, text, word);
		at += wide;
		text += word;
		text += strspn(text, " ");
	}
	buf_str(out, "\n");
}

void style_repeat(struct buf *out, const char *letter, size_t count)
{
	while (count-- > 0)
		buf_str(out, letter);
}
