/* SPDX-License-Identifier: MIT */
#include "cmd/watch_draw.h"

#include <limits.h>
#include <string.h>
#include <wchar.h>

/* How much of a text of `bytes` fits into `room` columns: its bytes; its columns go to `columns`.
 */
static int fitting(const char *text, int bytes, int room, int *columns)
{
	mbstate_t state = { 0 };
	int at = 0;

	*columns = 0;
	while (at < bytes) {
		wchar_t letter = L' ';
		size_t n = mbrtowc(&letter, text + at, (size_t)(bytes - at), &state);
		int width;

		if (n == 0 || n > (size_t)(bytes - at)) { /* no letter: drawn as a byte */
			memset(&state, 0, sizeof(state));
			n = 1;
			letter = L' ';
		}
		width = wcwidth(letter) < 0 ? 1 : wcwidth(letter);
		if (*columns + width > room)
			break;
		*columns += width;
		at += (int)n;
	}
	return at;
}

void draw_row(int y, attr_t look, const struct buf *b)
{
	int columns;

	attrset(look);
	mvaddnstr(y, 0, b->data ? b->data : "", fitting(b->data, (int)b->len, COLS, &columns));
	attrset(A_NORMAL);
}

#define INDENT 4 /* of what goes on in a further row, at least */

/* A row that goes on stands further in than its first one, as far as the terminal allows. */
static int indent_of(const char *line)
{
	int further = (int)strspn(line, " ") + 2;

	further = further < COLS / 4 ? further : COLS / 4;
	return further > INDENT ? further : INDENT;
}

/* One line of a text, broken between words, and where a word is longer than a row. Only what lies
 * between the first row and the last is drawn. Returns the row below. */
static int draw_words(const char *line, int y)
{
	int x = 0, end = (int)strcspn(line, "\n"), indent = indent_of(line);

	for (int at = 0; at < end;) {
		int word = at, width, n;

		while (word < end && line[word] == ' ')
			word++;
		while (word < end && line[word] != ' ')
			word++;
		fitting(line + at, word - at, INT_MAX, &width);
		if (x > indent && x + width > COLS) {
			y++;
			x = indent;
			at += (int)strspn(line + at, " ");
			continue;
		}
		n = fitting(line + at, word - at, COLS - x, &width);
		if (y > 0 && y < LINES - 1)
			mvaddnstr(y, x, line + at, n);
		x += width;
		at = n ? at + n : word;
	}
	return y + 1;
}

/* Returns the row below the text. */
static int draw_lines(const char *text, int y)
{
	for (; *text; text += strcspn(text, "\n"), text += *text == '\n')
		y = draw_words(text, y);
	return y;
}

int draw_text_rows(const char *text)
{
	return draw_lines(text, LINES) - LINES;
}

void draw_text(const char *text, int skip)
{
	draw_lines(text, 1 - skip);
}
