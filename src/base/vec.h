/* SPDX-License-Identifier: MIT */
/* Growing arrays of plain structs. */
#pragma once

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Makes room for `need` items of `size` bytes in the malloc'ed array that `array` points at (a
 * pointer to the pointer). New items are not initialised. Returns 0 or -ENOMEM. */
static inline int vec_reserve(void *array, uint32_t *cap, uint32_t need, size_t size)
{
	uint32_t room = *cap ? *cap : 16;
	void *old, *grown;

	if (need <= *cap)
		return 0;
	while (room < need)
		room = room > UINT32_MAX / 2 ? need : room * 2;
	memcpy(&old, array, sizeof(old));
	grown = reallocarray(old, room, size);
	if (!grown)
		return -ENOMEM;
	memcpy(array, &grown, sizeof(grown));
	*cap = room;
	return 0;
}

/* Gives back the memory of an array that holds nothing now, where it has room for more than `most`
 * items. */
static inline void vec_rest(void *array, uint32_t *cap, uint32_t most)
{
	void *old, *none = NULL;

	if (*cap <= most)
		return;
	memcpy(&old, array, sizeof(old));
	free(old);
	memcpy(array, &none, sizeof(none));
	*cap = 0;
}
