/* SPDX-License-Identifier: MIT */
#include "kernel/framenames.h"

#include <string.h>

uint64_t framenames_file(const unsigned char *build_id, int len)
{
	uint64_t hash = 0xcbf29ce484222325ULL; /* FNV-1a */

	for (int i = 0; i < len; i++)
		hash = (hash ^ build_id[i]) * 0x100000001b3ULL;
	return hash ? hash : 1;
}

static unsigned slot(uint64_t file, uint64_t offset)
{
	return (unsigned)((file ^ offset) * 0x9e3779b97f4a7c15ULL >> 32) % FRAMENAMES;
}

bool framenames_find(const struct framenames *n, uint64_t file, uint64_t offset, struct tw_frame *f)
{
	const struct framename *name = &n->v[slot(file, offset)];

	if (!file || name->file != file || name->offset != offset)
		return false;
	memcpy(f->function, name->function, sizeof(f->function));
	memcpy(f->file, name->source, sizeof(f->file));
	f->line = name->line;
	return true;
}

void framenames_keep(struct framenames *n, uint64_t file, uint64_t offset, const struct tw_frame *f)
{
	struct framename *name = &n->v[slot(file, offset)];

	name->file = file;
	name->offset = offset;
	memcpy(name->function, f->function, sizeof(name->function));
	memcpy(name->source, f->file, sizeof(name->source));
	name->line = f->line;
}
