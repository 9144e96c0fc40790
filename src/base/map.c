/* SPDX-License-Identifier: MIT */
#include "base/map.h"

#include <errno.h>
#include <stdlib.h>

struct map_slot {
	uint64_t key;
	uint32_t above; /* one above the value; 0: free */
};

#define FIRST_SLOTS 64

/* Fibonacci hashing of fours: inodes and cookies are handed out in a row and asked for nearly so,
 * and four slots share a cache line. */
static uint32_t hash(uint64_t key, uint32_t mask)
{
	uint32_t four = (uint32_t)(((key >> 2) * 0x9e3779b97f4a7c15ull) >> 32);

	return (four << 2 | (uint32_t)(key & 3)) & mask;
}

static struct map_slot *find(const struct map *m, uint64_t key)
{
	uint32_t i = hash(key, m->mask);

	while (m->slots[i].above && m->slots[i].key != key)
		i = (i + 1) & m->mask;
	return &m->slots[i];
}

uint32_t map_get(const struct map *m, uint64_t key)
{
	return m->slots ? find(m, key)->above - 1 : MAP_NONE; /* 0 - 1 is MAP_NONE */
}

static int grow(struct map *m)
{
	uint32_t size = m->slots ? (m->mask + 1) * 2 : FIRST_SLOTS;
	struct map next = { .slots = calloc(size, sizeof(*next.slots)), .mask = size - 1 };

	if (!next.slots)
		return -ENOMEM;
	for (uint32_t i = 0; m->slots && i <= m->mask; i++)
		if (m->slots[i].above)
			*find(&next, m->slots[i].key) = m->slots[i];
	next.n = m->n;
	free(m->slots);
	*m = next;
	return 0;
}

int map_put(struct map *m, uint64_t key, uint32_t value)
{
	struct map_slot *slot;

	if ((!m->slots || m->n >= (m->mask + 1) / 4 * 3) && grow(m) < 0)
		return -ENOMEM;
	slot = find(m, key);
	if (!slot->above)
		m->n++;
	*slot = (struct map_slot){ key, value + 1 };
	return 0;
}

void map_free(struct map *m)
{
	free(m->slots);
	*m = (struct map){ 0 };
}
