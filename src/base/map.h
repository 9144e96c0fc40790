/* SPDX-License-Identifier: MIT */
/* A hash table from numbers to indices, for joining what the kernel tells in several answers. */
#pragma once

#include <stdint.h>

#define MAP_NONE UINT32_MAX

struct map {
	struct map_slot *slots;
	uint32_t mask; /* slots - 1; a power of two */
	uint32_t n;
};

/* The index kept under `key`, or MAP_NONE. */
uint32_t map_get(const struct map *m, uint64_t key);

/* Keeps `value` (not MAP_NONE) under `key`, in place of an older one. Returns 0 or -ENOMEM. */
int map_put(struct map *m, uint64_t key, uint32_t value);

/* Frees the table and makes it empty and usable again. */
void map_free(struct map *m);
