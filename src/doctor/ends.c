/* SPDX-License-Identifier: MIT */
#include "doctor/ends.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_CAP 1024 /* a power of two, as all later ones */

int ends_init(struct ends *t)
{
	*t = (struct ends){ .v = calloc(FIRST_CAP, sizeof(*t->v)), .cap = FIRST_CAP };
	return t->v ? 0 : -ENOMEM;
}

void ends_free(struct ends *t)
{
	free(t->v);
	*t = (struct ends){ 0 };
}

/* Probed linearly from here. */
static unsigned place(const struct ends *t, uint64_t sk)
{
	return (unsigned)(sk * 0x9e3779b97f4a7c15ULL >> 32) & (t->cap - 1);
}

struct open_end *ends_find(const struct ends *t, uint64_t sk)
{
	for (unsigned i = place(t, sk);; i = (i + 1) & (t->cap - 1)) {
		if (t->v[i].sk == sk)
			return &t->v[i];
		if (!t->v[i].sk)
			return NULL;
	}
}

static struct open_end *free_place(struct ends *t, uint64_t sk)
{
	unsigned at = place(t, sk);

	while (t->v[at].sk)
		at = (at + 1) & (t->cap - 1);
	return &t->v[at];
}

static int grow(struct ends *t)
{
	struct ends bigger = { .cap = t->cap * 2, .count = t->count };

	bigger.v = calloc(bigger.cap, sizeof(*bigger.v));
	if (!bigger.v)
		return -ENOMEM;
	for (unsigned i = 0; i < t->cap; i++)
		if (t->v[i].sk)
			*free_place(&bigger, t->v[i].sk) = t->v[i];
	free(t->v);
	*t = bigger;
	return 0;
}

struct open_end *ends_insert(struct ends *t, uint64_t sk)
{
	struct open_end *end = ends_find(t, sk);

	if (!end) {
		if (t->count == ENDS_MAX || (t->count * 4 >= t->cap * 3 && grow(t)))
			return NULL;
		end = free_place(t, sk);
		t->count++;
	}
	*end = (struct open_end){ .sk = sk };
	return end;
}

void ends_remove(struct ends *t, struct open_end *end)
{
	unsigned mask = t->cap - 1, hole = (unsigned)(end - t->v), at = hole;

	for (at = (at + 1) & mask; t->v[at].sk; at = (at + 1) & mask) {
		unsigned home = place(t, t->v[at].sk);

		if (((at - home) & mask) < ((at - hole) & mask))
			continue; /* the hole lies before where its probe begins */
		t->v[hole] = t->v[at];
		hole = at;
	}
	t->v[hole].sk = 0;
	t->count--;
}
