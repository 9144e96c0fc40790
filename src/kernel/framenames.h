/* SPDX-License-Identifier: MIT */
/* What the last calls of stacks were named, by place in an ELF file: processes of one program, and
 * all that use one library, share the names, and debug information is read once for them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tcp/watch.h"

/* Names that are remembered; a new one takes the place of one with the same hash. */
#define FRAMENAMES 1024

struct framename {
	uint64_t file;   /* hash of the file's build id */
	uint64_t offset; /* in the file's own numbering */
	char function[sizeof((struct tw_frame){ 0 }.function)];
	char source[sizeof((struct tw_frame){ 0 }.file)];
	unsigned line;
};

struct framenames {
	struct framename v[FRAMENAMES];
};

/* A number for a build id of `len` bytes, never 0. */
uint64_t framenames_file(const unsigned char *build_id, int len);

/* Fills in function, file and line of the frame where they are remembered; else false, with the
 * frame untouched. */
bool framenames_find(const struct framenames *n, uint64_t file, uint64_t offset,
		     struct tw_frame *f);

/* Remembers them. */
void framenames_keep(struct framenames *n, uint64_t file, uint64_t offset,
		     const struct tw_frame *f);
