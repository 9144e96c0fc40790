/* SPDX-License-Identifier: MIT */
/* The processes that hold reported ends, each kept once however many it holds, for as long as it
 * holds one. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tcp/watch.h"

#define HOLDERS_SLOTS 1024

struct holder {
	struct tw_owner who; /* but for the descriptor */
	char *container;     /* id; NULL: none, or not asked for yet */
	bool asked;          /* for the container */
	uint32_t ends;       /* that refer to it; 0: a free item */
	uint32_t next;       /* in its slot, or among the free: id; 0: the last */
};

struct holders {
	struct holder *v;
	uint32_t used, cap, free;
	uint32_t slots[HOLDERS_SLOTS]; /* ids, by process number */
};

void holders_free(struct holders *h);

/* The process's id, one end more refers to it; 0 without memory. Moves the others. */
uint32_t holders_get(struct holders *h, const struct tw_owner *who);

/* One end less refers to it; 0 does nothing. */
void holders_put(struct holders *h, uint32_t id);

/* The process of an id that is not 0. Valid until the next holders_get(). */
static inline struct holder *holders_at(const struct holders *h, uint32_t id)
{
	return &h->v[id - 1];
}
