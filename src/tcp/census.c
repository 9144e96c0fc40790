/* SPDX-License-Identifier: MIT */
#include "tcp/census.h"

#include <stdlib.h>
#include <string.h>

#include "base/vec.h"

void census_free(struct census *c)
{
	for (uint32_t i = 0; i < c->procs_n; i++)
		free(c->procs[i].cgroup);
	free(c->sockets);
	free(c->holders);
	free(c->procs);
	free(c->netns);
	free(c->listeners);
	free(c->time_wait);
	*c = (struct census){ 0 };
}

uint32_t census_add_socket(struct census *c)
{
	if (vec_reserve(&c->sockets, &c->sockets_cap, c->sockets_n + 1, sizeof(*c->sockets)) < 0)
		return CENSUS_NONE;
	c->sockets[c->sockets_n] = (struct census_socket){ .netns = CENSUS_NONE,
							   .listener = CENSUS_NONE };
	return c->sockets_n++;
}

uint32_t census_add_proc(struct census *c)
{
	if (vec_reserve(&c->procs, &c->procs_cap, c->procs_n + 1, sizeof(*c->procs)) < 0)
		return CENSUS_NONE;
	c->procs[c->procs_n] = (struct census_proc){ 0 };
	return c->procs_n++;
}

uint32_t census_add_netns(struct census *c, uint64_t ino)
{
	if (vec_reserve(&c->netns, &c->netns_cap, c->netns_n + 1, sizeof(*c->netns)) < 0)
		return CENSUS_NONE;
	c->netns[c->netns_n] = (struct census_netns){ .ino = ino };
	return c->netns_n++;
}

uint32_t census_add_listener(struct census *c)
{
	if (vec_reserve(&c->listeners, &c->listeners_cap, c->listeners_n + 1,
			sizeof(*c->listeners)) < 0)
		return CENSUS_NONE;
	c->listeners[c->listeners_n] = (struct census_listener){ .netns = CENSUS_NONE };
	return c->listeners_n++;
}

uint32_t census_add_time_wait(struct census *c)
{
	if (vec_reserve(&c->time_wait, &c->time_wait_cap, c->time_wait_n + 1,
			sizeof(*c->time_wait)) < 0)
		return CENSUS_NONE;
	c->time_wait[c->time_wait_n] = (struct census_time_wait){ .netns = CENSUS_NONE };
	return c->time_wait_n++;
}

int census_add_holder(struct census *c, uint32_t proc, int32_t fd)
{
	if (vec_reserve(&c->holders, &c->holders_cap, c->holders_n + 1, sizeof(*c->holders)) < 0)
		return -ENOMEM;
	c->holders[c->holders_n++] = (struct census_holder){ proc, fd };
	return 0;
}

uint32_t census_find_netns(const struct census *c, uint64_t ino)
{
	for (uint32_t i = 0; i < c->netns_n; i++)
		if (c->netns[i].ino == ino)
			return i;
	return CENSUS_NONE;
}

struct tcp_context census_context(const struct census *c, const struct census_socket *s)
{
	return (struct tcp_context){
		.processes = s->processes,
		.all_seen = s->all_seen,
		.flowing = s->flowing,
		.fin_timeout_ms = s->netns == CENSUS_NONE ? 0 : c->netns[s->netns].fin_timeout_ms,
	};
}

/* An IPv6 listener on :: takes IPv4 connections too; their addresses are then v4-mapped, or IPv4.
 */
static bool is_wildcard(const struct tcp_addr *a)
{
	static const uint8_t zero[16];

	return !memcmp(a->bytes, zero, sizeof(zero));
}

static bool same_host(const struct tcp_addr *a, const struct tcp_addr *b)
{
	return a->family == b->family && !memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

/* How near a listener is bound to where the connection came; the kernel takes the nearest. The own
 * family's wildcard is asked before ::. */
enum nearness {
	NEAR_NOT,
	NEAR_DUAL,
	NEAR_WILDCARD,
	NEAR_EXACT
};

static enum nearness nearness_of(const struct census_listener *l, const struct census_socket *s)
{
	const struct tcp_addr *bound = &l->s.local, *local = &s->s.local;

	if (l->netns != s->netns || bound->port != local->port)
		return NEAR_NOT;
	if (same_host(bound, local))
		return NEAR_EXACT;
	if (!is_wildcard(bound))
		return NEAR_NOT;
	if (bound->family == local->family)
		return NEAR_WILDCARD;
	return bound->family > local->family ? NEAR_DUAL : NEAR_NOT;
}

/* Listeners are asked first: a connection that waited already when the first was asked was in the
 * queue of its own. */
static bool may_hold(const struct census *c, const struct census_listener *l,
		     const struct census_socket *s)
{
	return l->s.recv_q > 0 || s->v.age_is == TCP_AGE_UNKNOWN || s->v.age_ms <= c->took_ms;
}

static uint32_t next_candidate(const struct census *c, const struct census_socket *s,
			       uint32_t after)
{
	enum nearness nearest = NEAR_NOT;

	for (uint32_t i = 0; i < c->listeners_n; i++)
		if (nearness_of(&c->listeners[i], s) > nearest)
			nearest = nearness_of(&c->listeners[i], s);
	if (nearest == NEAR_NOT)
		return CENSUS_NONE;
	for (uint32_t i = after == CENSUS_NONE ? 0 : after + 1; i < c->listeners_n; i++)
		if (nearness_of(&c->listeners[i], s) == nearest && may_hold(c, &c->listeners[i], s))
			return i;
	return CENSUS_NONE;
}

void census_find_listener(const struct census *c, struct census_socket *s)
{
	uint32_t first = next_candidate(c, s, CENSUS_NONE);

	s->listeners = 0;
	for (uint32_t i = first; i != CENSUS_NONE; i = next_candidate(c, s, i))
		s->listeners++;
	s->listener = s->listeners == 1 ? first : CENSUS_NONE;
}

uint32_t census_next_listener(const struct census *c, const struct census_socket *s, uint32_t after)
{
	if (s->listeners > 1)
		return next_candidate(c, s, after);
	return after == CENSUS_NONE ? s->listener : CENSUS_NONE;
}

bool census_is_outgoing(const struct census *c, const struct tcp_sample *s, uint32_t netns)
{
	const struct census_netns *ns;

	if (netns == CENSUS_NONE)
		return false;
	ns = &c->netns[netns];
	if (s->local.port < ns->port_lo || s->local.port > ns->port_hi)
		return false;
	for (uint32_t i = 0; i < c->listeners_n; i++)
		if (c->listeners[i].netns == netns && c->listeners[i].s.local.port == s->local.port)
			return false;
	return true;
}

bool census_is_older(const struct census_socket *s, uint64_t older_ms)
{
	if (older_ms == 0)
		return true;
	if (s->v.age_is == TCP_AGE_UNKNOWN)
		return false;
	if (s->v.cause == TCP_CAUSE_DEAD && !s->s.dead_ms)
		return s->s.last_ack_recv_ms >= older_ms;
	return s->v.age_ms >= older_ms;
}

bool census_needs_person(const struct census_socket *s, uint64_t older_ms)
{
	if (TCP_CAUSES_NORMAL & TCP_CAUSE_BIT(s->v.cause) || s->v.age_is == TCP_AGE_UNKNOWN)
		return false;
	return census_is_older(s, older_ms);
}
