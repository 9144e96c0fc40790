/* SPDX-License-Identifier: MIT */
#include "doctor/builder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/vec.h"
#include "kernel/proc.h"

static uint64_t ticks_since_boot(void)
{
	struct timespec ts;
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * hz + (uint64_t)ts.tv_nsec * hz / 1000000000u;
}

int builder_start(struct builder *b, struct census *c, const struct netns_list *spaces)
{
	*b = (struct builder){ .c = c, .began = ticks_since_boot() };
	for (uint32_t i = 0; i < spaces->n; i++) {
		uint32_t k = census_add_netns(c, spaces->v[i].ino);

		if (k == CENSUS_NONE)
			return -ENOMEM;
		snprintf(c->netns[k].name, sizeof(c->netns[k].name), "%s", spaces->v[i].name);
	}
	return 0;
}

void builder_free(struct builder *b)
{
	map_free(&b->by_cookie);
	map_free(&b->by_inode);
	map_free(&b->procs);
	map_free(&b->time_wait);
	free(b->same_inode);
	free(b->found);
	*b = (struct builder){ 0 };
}

/* FNV-1a of what makes a destination. */
static uint64_t time_wait_key(const struct census_time_wait *t)
{
	uint64_t h = 0xcbf29ce484222325ull;
	uint8_t key[2 * (16 + 2) + 4 + 2];
	size_t n = 0;

	memcpy(key + n, t->local.bytes, 16);
	memcpy(key + n + 16, t->peer.bytes, 16);
	memcpy(key + n + 32, &t->local.port, 2);
	memcpy(key + n + 34, &t->peer.port, 2);
	memcpy(key + n + 36, &t->netns, 4);
	key[40] = t->local.family;
	key[41] = t->outgoing;
	for (size_t i = 0; i < sizeof(key); i++)
		h = (h ^ key[i]) * 0x100000001b3ull;
	return h;
}

static bool same_destination(const struct census_time_wait *a, const struct census_time_wait *b)
{
	return a->netns == b->netns && a->outgoing == b->outgoing &&
	       tcp_addr_equal(&a->local, &b->local) && tcp_addr_equal(&a->peer, &b->peer);
}

static int sum_time_wait(struct builder *b, const struct tcp_sample *s, uint32_t netns)
{
	struct census_time_wait t = { s->local, s->peer, netns,
				      0,        0,       census_is_outgoing(b->c, s, netns) };
	struct census_time_wait *sum;
	uint64_t key;
	uint32_t i;

	if (t.outgoing)
		t.local.port = 0;
	else
		t.peer.port = 0;
	key = time_wait_key(&t);
	while ((i = map_get(&b->time_wait, key)) != MAP_NONE &&
	       !same_destination(&b->c->time_wait[i], &t))
		key++;
	if (i == MAP_NONE) {
		i = census_add_time_wait(b->c);
		if (i == CENSUS_NONE || map_put(&b->time_wait, key, i) < 0)
			return -ENOMEM;
		b->c->time_wait[i] = t;
	}
	sum = &b->c->time_wait[i];
	sum->n++;
	if (s->timer_ms > sum->last_ms)
		sum->last_ms = s->timer_ms;
	b->c->time_wait_all++;
	return 0;
}

void builder_forget_time_wait(struct builder *b, uint32_t netns)
{
	for (uint32_t i = 0; i < b->c->time_wait_n; i++) {
		struct census_time_wait *t = &b->c->time_wait[i];

		if (t->netns != netns)
			continue;
		b->c->time_wait_all -= t->n;
		t->n = 0;
		t->last_ms = 0;
	}
}

static int remember(struct builder *b, const struct tcp_sample *s, uint32_t value)
{
	if (s->cookie && map_put(&b->by_cookie, s->cookie, value) < 0)
		return -ENOMEM;
	if (!s->inode || !(b->inodes || s->mptcp))
		return 0;
	if (!(value & BUILDER_IS_LISTENER))
		b->same_inode[value] = map_get(&b->by_inode, s->inode);
	return map_put(&b->by_inode, s->inode, value);
}

static int keep_listener(struct builder *b, const struct tcp_sample *s, uint32_t netns,
			 uint32_t *which)
{
	uint32_t i = census_add_listener(b->c);

	if (i == CENSUS_NONE)
		return -ENOMEM;
	b->c->listeners[i].s = *s;
	b->c->listeners[i].netns = netns;
	*which = i | BUILDER_IS_LISTENER;
	return remember(b, s, *which);
}

static int keep_socket(struct builder *b, const struct tcp_sample *s, uint32_t netns,
		       uint32_t *which)
{
	uint32_t i = census_add_socket(b->c);

	if (i == CENSUS_NONE ||
	    vec_reserve(&b->same_inode, &b->same_inode_cap, i + 1, sizeof(*b->same_inode)) < 0)
		return -ENOMEM;
	b->c->sockets[i].s = *s;
	b->c->sockets[i].netns = netns;
	b->same_inode[i] = MAP_NONE;
	*which = i;
	return remember(b, s, i);
}

int builder_put(struct builder *b, const struct tcp_sample *s, uint32_t netns, uint32_t *which)
{
	*which = s->cookie ? map_get(&b->by_cookie, s->cookie) : MAP_NONE;
	if (*which != MAP_NONE) {
		if (!(*which & BUILDER_IS_LISTENER) && s->state != TCPS_LISTEN)
			b->c->sockets[*which].s = *s;
		return 0;
	}
	if (s->state == TCPS_LISTEN)
		return keep_listener(b, s, netns, which);
	if (s->state == TCPS_TIME_WAIT) {
		if (b->states & TCP_BIT(TCPS_TIME_WAIT) && sum_time_wait(b, s, netns) < 0)
			return -ENOMEM;
		if (!b->each_time_wait)
			return 0;
	}
	if (s->state == TCPS_CLOSE && !tcp_was_connected(s)) /* made, and not used yet */
		return 0;
	return b->states & TCP_BIT(s->state) ? keep_socket(b, s, netns, which) : 0;
}

int builder_socket(struct builder *b, const struct tcp_sample *s, uint32_t netns)
{
	uint32_t which;

	return builder_put(b, s, netns, &which);
}

/* The process's index. A name that is read after the descriptor was may be that of a process which
 * got the number since: such a one is younger than this census and goes without a name. */
static uint32_t proc_of(struct builder *b, const struct builder_who *who)
{
	uint32_t i = map_get(&b->procs, who->pid);
	struct proc_info info = { 0 };
	struct census_proc *p;

	if (i != MAP_NONE)
		return i;
	i = census_add_proc(b->c);
	if (i == CENSUS_NONE || map_put(&b->procs, who->pid, i) < 0)
		return CENSUS_NONE;
	p = &b->c->procs[i];
	p->pid = who->pid;
	if (who->comm)
		snprintf(p->comm, sizeof(p->comm), "%s", who->comm);
	if (proc_read(who->pid, &info) < 0)
		return i;
	if (info.start > b->began) {
		free(info.cgroup);
		return i;
	}
	p->uid = info.uid;
	p->start = info.start;
	p->netns = info.netns;
	p->cgroup = info.cgroup;
	if (!who->comm)
		memcpy(p->comm, info.comm, sizeof(p->comm));
	if (p->cgroup)
		proc_container_id(p->cgroup, p->container, sizeof(p->container));
	return i;
}

static int add_found(struct builder *b, uint32_t value, const struct builder_who *who, int32_t fd)
{
	uint32_t proc = b->last_pid == who->pid ? b->last_proc : proc_of(b, who);

	b->last_pid = who->pid;
	b->last_proc = proc;
	if (proc == CENSUS_NONE ||
	    vec_reserve(&b->found, &b->found_cap, b->found_n + 1, sizeof(*b->found)) < 0)
		return -ENOMEM;
	b->found[b->found_n++] = (struct builder_found){ value & ~BUILDER_IS_LISTENER, proc, fd,
							 value & BUILDER_IS_LISTENER };
	return 1;
}

int builder_holder_of_inode(struct builder *b, uint64_t inode, const struct builder_who *who,
			    int32_t fd)
{
	uint32_t i = map_get(&b->by_inode, inode);
	int r = 0;

	if (i == MAP_NONE)
		return 0;
	if (i & BUILDER_IS_LISTENER)
		return add_found(b, i, who, fd);
	for (; i != MAP_NONE && r >= 0; i = b->same_inode[i])
		r = add_found(b, i, who, fd);
	return r;
}

int builder_holder_of(struct builder *b, uint32_t which, const struct builder_who *who, int32_t fd)
{
	return which == MAP_NONE ? 0 : add_found(b, which, who, fd);
}

static struct census_held *held_of(struct census *c, const struct builder_found *f)
{
	return f->is_listener ? &c->listeners[f->target].held : &c->sockets[f->target].held;
}

static void place(struct census_held *h, uint32_t *next)
{
	h->first = *next;
	*next += h->n;
	h->n = 0;
}

/* Counts per socket, then places: holders of one socket lie side by side, in the order found. */
static int order_holders(struct builder *b)
{
	struct census *c = b->c;
	uint32_t next = 0;

	if (vec_reserve(&c->holders, &c->holders_cap, b->found_n, sizeof(*c->holders)) < 0)
		return -ENOMEM;
	c->holders_n = b->found_n;
	for (uint32_t i = 0; i < b->found_n; i++)
		held_of(c, &b->found[i])->n++;
	for (uint32_t i = 0; i < c->sockets_n; i++)
		place(&c->sockets[i].held, &next);
	for (uint32_t i = 0; i < c->listeners_n; i++)
		place(&c->listeners[i].held, &next);
	for (uint32_t i = 0; i < b->found_n; i++) {
		const struct builder_found *f = &b->found[i];
		struct census_held *h = held_of(c, f);

		c->holders[h->first + h->n++] = (struct census_holder){ f->proc, f->fd };
	}
	return 0;
}

/* Every scan goes through one process after the other. */
static uint32_t count_processes(const struct census *c, const struct census_held *h)
{
	uint32_t n = 0;

	for (uint32_t i = h->first; i < h->first + h->n; i++)
		n += i == h->first || c->holders[i].proc != c->holders[i - 1].proc;
	return n;
}

/* Never less than it took: `began` was rounded down. */
static uint32_t took_ms(const struct builder *b)
{
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);
	uint64_t ms = (ticks_since_boot() - b->began + 1) * 1000 / hz;

	return ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

int builder_finish(struct builder *b, bool all_seen)
{
	struct census *c = b->c;

	if (order_holders(b) < 0)
		return -ENOMEM;
	c->took_ms = took_ms(b);
	for (uint32_t i = 0; i < c->sockets_n; i++) {
		struct census_socket *s = &c->sockets[i];
		struct tcp_context context;

		s->processes = count_processes(c, &s->held);
		s->all_seen = all_seen;
		context = census_context(c, s);
		s->v = tcp_verdict(&s->s, &context);
		if (s->v.cause == TCP_CAUSE_NOT_ACCEPTED)
			census_find_listener(c, s);
	}
	return 0;
}
