/* SPDX-License-Identifier: MIT */
#include "daytime/conns.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

static void append(struct conns *c, uint32_t i, enum conn_queue queue)
{
	struct conn *n = &c->slot[i];

	n->queue = queue;
	n->next = CONN_NONE;
	n->prev = c->queue[queue].tail;
	if (n->prev == CONN_NONE)
		c->queue[queue].head = i;
	else
		c->slot[n->prev].next = i;
	c->queue[queue].tail = i;
	c->fresh += queue == CONN_FRESH;
}

static void detach(struct conns *c, uint32_t i)
{
	struct conn *n = &c->slot[i];

	if (n->prev == CONN_NONE)
		c->queue[n->queue].head = n->next;
	else
		c->slot[n->prev].next = n->next;
	if (n->next == CONN_NONE)
		c->queue[n->queue].tail = n->prev;
	else
		c->slot[n->next].prev = n->prev;
	c->fresh -= n->queue == CONN_FRESH;
}

int conns_open(struct conns *c, uint32_t size)
{
	struct conn *slot = calloc(size, sizeof(*slot));

	if (!slot)
		return -ENOMEM;
	*c = (struct conns){ .slot = slot, .size = size };
	for (int q = 0; q < CONN_QUEUES; q++)
		c->queue[q].head = c->queue[q].tail = CONN_NONE;
	for (uint32_t i = 0; i < size; i++)
		append(c, i, CONN_FREE);
	return 0;
}

void conns_free(struct conns *c)
{
	free(c->slot);
	*c = (struct conns){ 0 };
}

uint32_t conns_add(struct conns *c, int fd, enum conn_queue queue, int64_t deadline)
{
	/* The slot that was freed last: its cache lines are warm. */
	uint32_t i = c->queue[CONN_FREE].tail;

	if (i == CONN_NONE)
		return CONN_NONE;
	detach(c, i);
	c->slot[i].fd = fd;
	c->slot[i].drained = 0;
	c->slot[i].deadline = deadline;
	append(c, i, queue);
	c->used++;
	return i;
}

void conns_move(struct conns *c, uint32_t i, enum conn_queue queue, int64_t deadline)
{
	detach(c, i);
	c->slot[i].deadline = deadline;
	append(c, i, queue);
	if (queue == CONN_FREE)
		c->used--;
}
