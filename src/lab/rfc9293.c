/* SPDX-License-Identifier: MIT */
#include "lab/rfc9293.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* How many sections there are below each that has any (RFC 9293, table of contents; 3.8.6.2's are
 * in its text). */
static const struct {
	const char *parent;
	unsigned below;
} parents[] = {
	{ "", 8 },       { "2", 2 },       { "3", 10 },    { "3.2", 2 },   { "3.3", 2 },
	{ "3.4", 3 },    { "3.5", 3 },     { "3.6", 1 },   { "3.7", 5 },   { "3.8", 6 },
	{ "3.8.6", 3 },  { "3.9", 2 },     { "3.9.1", 9 }, { "3.9.2", 3 }, { "3.10", 8 },
	{ "3.10.7", 4 }, { "3.8.6.2", 2 },
};

bool rfc9293_has(const char *section)
{
	for (size_t i = 0; i < sizeof(parents) / sizeof(parents[0]); i++) {
		for (unsigned n = 1; n <= parents[i].below; n++) {
			const char *parent = parents[i].parent;
			char name[32];

			snprintf(name, sizeof(name), "%s%s%u", parent, *parent ? "." : "", n);
			if (!strcmp(name, section))
				return true;
		}
	}
	return false;
}
