/* SPDX-License-Identifier: MIT */
/* The scenarios that there are: DIR/THEME/NAME.lua. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* Longest scenario that is read. The largest of the catalogue has 4 KiB. */
#define CATALOGUE_SCRIPT_BYTES (256u << 10)

struct catalogue_entry {
	char *theme; /* "experiments"; "" for a file that was named by its path */
	char *name;  /* "server-never-closes" */
	char *path;
	char *text; /* the script, once read */
	size_t len;
};

struct catalogue {
	struct catalogue_entry *entries; /* by theme, then by name */
	size_t n;
};

/* Finds every scenario below `dir`. Returns 0 or -errno with text; `c` is to be freed either way.
 */
int catalogue_open(struct catalogue *c, const char *dir, struct err *e);

/* Adds what `word` names to `chosen`: a path (with a '/' or ending in .lua), a name, THEME/NAME, a
 * theme, or a glob of either, in the catalogue's order. What is chosen already is not added again.
 * Returns 0; -ENOENT with text where nothing has that name, with the nearest. */
int catalogue_choose(const struct catalogue *c, const char *word, struct catalogue *chosen,
		     struct err *e);

/* Whether a scenario or a theme has exactly that name. */
bool catalogue_names(const struct catalogue *c, const char *word);

/* Reads an entry's script. Returns 0 or -errno with text. */
int catalogue_read(struct catalogue_entry *entry, struct err *e);

void catalogue_free(struct catalogue *c);
