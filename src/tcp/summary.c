/* SPDX-License-Identifier: MIT */
#include "tcp/summary.h"

#include <errno.h>
#include <stdlib.h>

#include "base/vec.h"

static uint32_t first_holder(const struct census *c, const struct census_held *h)
{
	return h->n ? c->holders[h->first].proc : CENSUS_NONE;
}

/* Of several listeners that may have it an owner is named where all have the same. */
static uint32_t proc_of(const struct census *c, const struct census_socket *s)
{
	uint32_t proc = CENSUS_NONE;
	bool first = true;

	if (s->v.cause != TCP_CAUSE_NOT_ACCEPTED)
		return first_holder(c, &s->held);
	CENSUS_FOR_LISTENERS(i, c, s)
	{
		uint32_t other = first_holder(c, &c->listeners[i].held);

		if (!first && other != proc)
			return CENSUS_NONE;
		proc = other;
		first = false;
	}
	return proc;
}

/* Indices are far below 2^26 and 2^24: a census of that many would not fit into memory. */
static uint64_t key_of(const struct summary_group *g)
{
	return (uint64_t)(g->proc & 0x3ffffff) << 34 | (uint64_t)(g->netns & 0x3ffffff) << 8 |
	       (uint64_t)g->state << 4 | g->cause;
}

static void add_port(struct summary_ports *p, uint16_t port)
{
	if (p->n > SUMMARY_PORTS)
		return;
	for (uint32_t i = 0; i < p->n; i++)
		if (p->port[i] == port)
			return;
	if (p->n < SUMMARY_PORTS)
		p->port[p->n] = port;
	p->n++;
}

static void add_to(struct summary *sum, struct summary_group *g, const struct census_socket *s)
{
	bool finding = census_needs_person(s, sum->older_ms);

	g->n++;
	g->findings += finding;
	sum->sockets++;
	sum->findings += finding;
	if (s->processes > g->processes)
		g->processes = s->processes;
	if (s->v.age_is != TCP_AGE_UNKNOWN &&
	    (g->oldest_is == TCP_AGE_UNKNOWN || s->v.age_ms > g->oldest_ms)) {
		g->oldest_ms = s->v.age_ms;
		g->oldest_is = s->v.age_is;
	}
	add_port(&g->local, s->s.local.port);
	add_port(&g->peer, s->s.peer.port);
	if (g->n == 1)
		g->listener = s->listener;
	else if (g->listener != s->listener)
		g->listener = CENSUS_NONE;
}

int summary_add(struct summary *sum, const struct census *c, const struct census_socket *s)
{
	struct summary_group g = {
		.proc = proc_of(c, s),
		.netns = s->netns,
		.state = s->s.state,
		.cause = s->v.cause,
		.orphans = s->s.inode == 0 && s->s.state != TCPS_CLOSE_WAIT,
	};
	uint64_t key = key_of(&g);
	uint32_t i = map_get(&sum->by_key, key);

	if (i == MAP_NONE) {
		if (vec_reserve(&sum->v, &sum->cap, sum->n + 1, sizeof(*sum->v)) < 0 ||
		    map_put(&sum->by_key, key, sum->n) < 0)
			return -ENOMEM;
		i = sum->n++;
		g.sample = (uint32_t)(s - c->sockets);
		sum->v[i] = g;
	}
	add_to(sum, &sum->v[i], s);
	return 0;
}

static int cmp_u64(uint64_t a, uint64_t b)
{
	return (a < b) - (a > b);
}

static int worse_first(const void *pa, const void *pb)
{
	const struct summary_group *a = pa, *b = pb;
	bool normal_a = TCP_CAUSES_NORMAL & TCP_CAUSE_BIT(a->cause);
	bool normal_b = TCP_CAUSES_NORMAL & TCP_CAUSE_BIT(b->cause);
	int r = cmp_u64(a->findings, b->findings);

	if (r == 0)
		r = normal_a - normal_b;
	if (r == 0)
		r = cmp_u64(a->n, b->n);
	if (r == 0)
		r = cmp_u64(a->oldest_ms, b->oldest_ms);
	if (r == 0)
		r = a->cause - b->cause;
	return r;
}

void summary_sort(struct summary *s)
{
	if (s->n > 1)
		qsort(s->v, s->n, sizeof(*s->v), worse_first);
	map_free(&s->by_key); /* indices are others now */
}

void summary_free(struct summary *s)
{
	free(s->v);
	map_free(&s->by_key);
	*s = (struct summary){ 0 };
}
