/* SPDX-License-Identifier: MIT */
#include "kernel/glob.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <string.h>

#define ELEMENT_BYTES 64

/* The length of the bracket expression that `p` begins with, 0 where it has no end: `[` then stands
 * for itself. A `]` that comes first is one of the set. */
static size_t bracket_length(const char *p)
{
	size_t n = 1;

	n += p[n] == '!' || p[n] == '^';
	n += p[n] == ']';
	for (; p[n] && p[n] != ']'; n++) {
		const char *end;

		if (p[n] == '\\' && p[n + 1]) {
			n++;
		} else if (p[n] == '[' && strchr(":.=", p[n + 1]) && p[n + 1]) {
			const char closing[] = { p[n + 1], ']', '\0' };

			end = strstr(p + n + 2, closing);
			if (end)
				n = (size_t)(end + 1 - p);
		}
	}
	return p[n] ? n + 1 : 0;
}

static size_t element_length(const char *p)
{
	size_t bracket;

	if (*p == '\\' && p[1])
		return 2;
	bracket = *p == '[' ? bracket_length(p) : 0;
	return bracket ? bracket : 1;
}

/* Which bytes the element accepts, fnmatch() itself says. */
static int add_element(struct glob *g, unsigned number, const char *p, size_t len)
{
	char element[ELEMENT_BYTES + 1], name[2] = "";
	bool plain = len == 1 && !strchr("?\\", *p);

	if (len > ELEMENT_BYTES)
		return -E2BIG;
	memcpy(element, p, len);
	element[len] = '\0';
	for (int byte = 1; byte < 256; byte++) {
		name[0] = (char)byte;
		/* fnmatch() reads characters; a byte may be a part of one. */
		if (!strcmp(element, "?") || (plain && element[0] == name[0]) ||
		    !fnmatch(element, name, 0))
			g->accepts[byte] |= 1u << number;
	}
	return 0;
}

int glob_compile(struct glob *out, const char *pattern)
{
	struct glob g = { 0 };
	unsigned elements = 0;

	while (*pattern) {
		size_t len = element_length(pattern);
		int r = 0;

		if (*pattern == '*')
			g.stays |= 1u << elements;
		else if (elements == GLOB_ELEMENTS)
			return -E2BIG;
		else
			r = add_element(&g, elements++, pattern, len);
		if (r)
			return r;
		pattern += len;
	}
	g.end = 1u << elements;
	*out = g;
	return 0;
}
