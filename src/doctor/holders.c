/* SPDX-License-Identifier: MIT */
#include "doctor/holders.h"

#include <stdlib.h>
#include <string.h>

#include "base/vec.h"

void holders_free(struct holders *h)
{
	for (uint32_t i = 0; i < h->used; i++)
		free(h->v[i].container);
	free(h->v);
	*h = (struct holders){ 0 };
}

static uint32_t *slot_of(struct holders *h, const struct tw_owner *who)
{
	return &h->slots[(uint32_t)who->pid % HOLDERS_SLOTS];
}

/* A program that was run by exec has another name. */
static bool is_same(const struct tw_owner *a, const struct tw_owner *b)
{
	return a->pid == b->pid && a->start_ns == b->start_ns &&
	       !strncmp(a->comm, b->comm, sizeof(a->comm));
}

static uint32_t take_item(struct holders *h)
{
	uint32_t id = h->free;

	if (id) {
		h->free = holders_at(h, id)->next;
		return id;
	}
	if (vec_reserve(&h->v, &h->cap, h->used + 1, sizeof(*h->v)))
		return 0;
	return ++h->used;
}

uint32_t holders_get(struct holders *h, const struct tw_owner *who)
{
	uint32_t *slot = slot_of(h, who), id;

	for (id = *slot; id; id = holders_at(h, id)->next) {
		if (!is_same(&holders_at(h, id)->who, who))
			continue;
		holders_at(h, id)->ends++;
		return id;
	}
	id = take_item(h);
	if (!id)
		return 0;
	*holders_at(h, id) = (struct holder){ .who = *who, .ends = 1, .next = *slot };
	*slot = id;
	return id;
}

void holders_put(struct holders *h, uint32_t id)
{
	struct holder *gone;
	uint32_t *at;

	if (!id || --holders_at(h, id)->ends)
		return;
	gone = holders_at(h, id);
	for (at = slot_of(h, &gone->who); *at != id;)
		at = &holders_at(h, *at)->next;
	*at = gone->next;
	free(gone->container);
	*gone = (struct holder){ .next = h->free };
	h->free = id;
}
