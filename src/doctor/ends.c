/* SPDX-License-Identifier: MIT */
#include "doctor/ends.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_CAP 256

/* Twice as many slots as ends: a probe is short. */
#define SLOTS 262144u

int ends_init(struct ends *t)
{
	*t = (struct ends){ .slots = calloc(SLOTS, sizeof(*t->slots)), .mask = SLOTS - 1 };
	return t->slots ? 0 : -ENOMEM;
}

static void release(struct open_end *end)
{
	free(end->more);
	free(end->container);
	*end = (struct open_end){ 0 };
}

void ends_free(struct ends *t)
{
	for (uint32_t i = 0; i < t->used; i++)
		release(&t->v[i]);
	free(t->v);
	free(t->slots);
	*t = (struct ends){ 0 };
}

static uint32_t home(const struct ends *t, uint64_t sk)
{
	return (uint32_t)(sk * 0x9e3779b97f4a7c15ULL >> 32) & t->mask;
}

static uint32_t slot_of(const struct ends *t, uint64_t sk)
{
	uint32_t at = home(t, sk);

	while (t->slots[at] && t->v[t->slots[at] - 1].sk != sk)
		at = (at + 1) & t->mask;
	return at;
}

struct open_end *ends_find(const struct ends *t, uint64_t sk)
{
	uint32_t at = slot_of(t, sk);

	return t->slots[at] ? &t->v[t->slots[at] - 1] : NULL;
}

static int grow(struct ends *t)
{
	uint32_t cap = t->cap ? t->cap + t->cap / 2 : FIRST_CAP;
	struct open_end *v = reallocarray(t->v, cap, sizeof(*v));

	if (!v)
		return -ENOMEM;
	t->v = v;
	t->cap = cap;
	return 0;
}

/* The free items form a list through `began`, which holds the next one's index plus 1. */
static uint32_t take_item(struct ends *t)
{
	uint32_t item = t->free;

	if (item) {
		t->free = (uint32_t)t->v[item - 1].began;
		return item;
	}
	if (t->used == t->cap && grow(t))
		return 0;
	return ++t->used;
}

struct open_end *ends_insert(struct ends *t, uint64_t sk)
{
	uint32_t at = slot_of(t, sk), item = t->slots[at];

	if (item) {
		release(&t->v[item - 1]);
	} else {
		item = t->count < ENDS_MAX ? take_item(t) : 0;
		if (!item)
			return NULL;
		t->slots[at] = item;
		t->count++;
	}
	t->v[item - 1] = (struct open_end){ .sk = sk };
	return &t->v[item - 1];
}

void ends_remove(struct ends *t, struct open_end *end)
{
	uint32_t hole = slot_of(t, end->sk), item = t->slots[hole];

	for (uint32_t at = (hole + 1) & t->mask; t->slots[at]; at = (at + 1) & t->mask) {
		uint32_t from = home(t, t->v[t->slots[at] - 1].sk);

		if (((at - from) & t->mask) < ((at - hole) & t->mask))
			continue; /* its probe begins behind the hole */
		t->slots[hole] = t->slots[at];
		hole = at;
	}
	t->slots[hole] = 0;
	release(end);
	end->began = t->free;
	t->free = item;
	t->count--;
}

const struct tw_owner *ends_owner(const struct open_end *end, uint32_t i)
{
	if (i == 0)
		return &end->first;
	return end->more ? &end->more[i - 1] : NULL;
}

void ends_add_owner(struct open_end *end, const struct tw_owner *owner)
{
	uint32_t kept = end->owner_count < TW_MAX_OWNERS ? end->owner_count : TW_MAX_OWNERS;

	for (uint32_t i = 0; i < kept; i++) {
		const struct tw_owner *o = ends_owner(end, i);

		if (o && o->pid == owner->pid && o->fd == owner->fd)
			return;
	}
	if (kept == 0)
		end->first = *owner;
	else if (kept < TW_MAX_OWNERS && !end->more)
		end->more = calloc(TW_MAX_OWNERS - 1, sizeof(*end->more));
	if (kept > 0 && kept < TW_MAX_OWNERS && end->more)
		end->more[kept - 1] = *owner;
	end->owner_count++;
}
