/* SPDX-License-Identifier: MIT */
/* The tier with BPF. One pass over all descriptors of the host tells of the sockets that somebody
 * holds, in full, with the holder. Then sock_diag lists in each namespace what has no descriptor or
 * ends by itself, with its timers, and the listeners.
 *
 * Walking the kernel's table for that costs as much as the pass where it is full, so it is walked
 * only where something may be in it that the pass has not told of:
 *  - not where the kernel's counters know of nothing but the listeners, whose queues are empty, and
 *    as many others as the pass told of. A namespace with other traffic does not get here: its
 *    counters change too much to prove anything;
 *  - once, where it is nearly empty: everything is listed;
 *  - else a BPF iterator walks it and counts: CLOSE_WAIT, of which there may be very many, with a
 *    sum over the cookies, and what else there is to list. Listed is then what there is else, and
 *    CLOSE_WAIT only where it is not what the pass told of: something has no descriptor (not yet
 *    accepted, in a message), or changed under way.
 * One more pass looks for the holders of what was new in the lists.
 *
 * What nobody told of in full is asked for one by one. */
#include "doctor/snapshot_tiers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"

#define CLOSE_WAIT TCP_BIT(TCPS_CLOSE_WAIT)
/* The states that sock_diag lists. */
#define LISTED (((1u << TCPS_COUNT) - 1) & ~(TCP_BIT(TCPS_CLOSE) | TCP_BIT(TCPS_LISTEN)))

/* So many are listed sooner than counted first. */
#define FEW_SOCKETS 4096

/* What the pass told of in one namespace. */
struct told {
	struct sockets_count close_wait;
	uint64_t in_tables; /* whatever is in the kernel's tables; listeners are not counted here */
	uint32_t lacking;   /* sockets whose numbers nobody told */
};

struct bpf_tier {
	struct snapshot_visit visit; /* first: its visitors get it */
	struct sockets *sockets;
	struct told *told;   /* per namespace */
	uint32_t last_netns; /* of the record before */
	bool has_mptcp;      /* the pass told of such connections */
	uint32_t news;       /* sockets from this index on are not the pass's */
};

static uint32_t netns_of(struct bpf_tier *t, uint64_t ino)
{
	const struct census *c = t->visit.b->c;

	if (t->last_netns >= c->netns_n || c->netns[t->last_netns].ino != ino)
		t->last_netns = census_find_netns(c, ino);
	return t->last_netns;
}

static void count_told(struct told *told, const struct tcp_sample *s)
{
	told->in_tables += s->state != TCPS_CLOSE;
	if (s->state == TCPS_CLOSE_WAIT)
		sockets_count(&told->close_wait, s);
}

static int each_record(const struct sockets_found *f, void *arg)
{
	struct bpf_tier *t = arg;
	struct builder *b = t->visit.b;
	struct builder_who who = { f->pid, f->comm };
	uint32_t netns, which, before = b->c->sockets_n;
	int r;

	if (f->is_mptcp) { /* nothing of it is known yet: each_news() */
		t->has_mptcp = true;
		return 0;
	}
	netns = netns_of(t, f->s.netns);
	r = builder_put(b, &f->s, netns, &which);
	if (r == 0 && b->c->sockets_n > before && netns != CENSUS_NONE)
		count_told(&t->told[netns], &f->s);
	if (r == 0)
		r = builder_holder_of(b, which, &who, f->fd);
	return r < 0 ? r : 0;
}

/* A socket that sock_diag lists. What the pass told of it stays, but for the timer, which it does
 * not know; where the state is another now, the list is newer. */
static int take_listed(const struct tcp_sample *s, void *arg)
{
	struct bpf_tier *t = arg;
	struct builder *b = t->visit.b;
	uint32_t i = map_get(&b->by_cookie, s->cookie);
	struct tcp_sample *told;

	if (i == MAP_NONE || i & BUILDER_IS_LISTENER)
		return snapshot_take_socket(s, &t->visit);
	told = &b->c->sockets[i].s;
	if (told->state != s->state) {
		*told = *s;
		return 0;
	}
	told->mptcp = s->mptcp;
	told->timer = s->timer;
	told->timer_ms = s->timer_ms;
	told->retransmits = s->retransmits;
	return 0;
}

/* Whether the kernel's counters know of nothing that the pass has not told of. */
static bool all_told(const struct bpf_tier *t)
{
	const struct netns_numbers *n = &t->visit.numbers;

	return n->has_sockstat && !n->time_wait && !t->visit.queued &&
	       n->in_use == t->visit.listeners + t->told[t->visit.netns].in_tables;
}

/* Takes from `states` what the kernel's tables do not hold, or only as the pass told. */
static int leave_out(struct bpf_tier *t, unsigned *states, struct err *e)
{
	const struct sockets_count *told = &t->told[t->visit.netns].close_wait;
	struct sockets_count there;
	uint64_t others;
	int r = sockets_tally(t->sockets, *states & ~CLOSE_WAIT, &there, &others, e);

	if (r < 0)
		return r;
	if (others == 0)
		*states &= CLOSE_WAIT;
	if (there.n == told->n && there.sum == told->sum)
		*states &= ~CLOSE_WAIT;
	return 0;
}

static int visit_list(struct snapshot_visit *v, struct err *e)
{
	struct bpf_tier *t = (struct bpf_tier *)v;
	unsigned states = v->b->states & LISTED;
	bool few = v->numbers.has_sockstat && v->numbers.in_use <= FEW_SOCKETS;
	int r = snapshot_dump_listeners(v, take_listed);

	if (r < 0 || !v->b->c->netns[v->netns].has_connections || all_told(t))
		return r;
	if (states & CLOSE_WAIT && !few)
		r = leave_out(t, &states, e);
	return r == 0 && states ? snapshot_dump(v, states, false, take_listed) : r;
}

/* The holders of what was listed after the first pass. */
static int each_news(const struct sockets_found *f, void *arg)
{
	struct bpf_tier *t = arg;
	struct builder *b = t->visit.b;
	struct builder_who who = { f->pid, f->comm };
	uint32_t i;
	int r;

	if (f->is_mptcp) {
		i = map_get(&b->by_inode, f->s.inode);
		if (i == MAP_NONE || i & BUILDER_IS_LISTENER || i < t->news)
			return 0;
		r = builder_holder_of_inode(b, f->s.inode, &who, f->fd);
		return r < 0 ? r : 0;
	}
	i = map_get(&b->by_cookie, f->s.cookie);
	if (i == MAP_NONE || i & BUILDER_IS_LISTENER || i < t->news)
		return 0;
	b->c->sockets[i].s = f->s;
	r = builder_holder_of(b, i, &who, f->fd);
	return r < 0 ? r : 0;
}

/* Time-wait entries have no numbers. */
static bool is_lacking(const struct tcp_sample *s)
{
	return !s->has_info && s->timer != TCP_TIMER_TIME_WAIT;
}

static bool count_lacking(struct bpf_tier *t)
{
	const struct census *c = t->visit.b->c;
	bool any = false;

	for (uint32_t i = 0; i < c->sockets_n; i++)
		if (is_lacking(&c->sockets[i].s) && c->sockets[i].netns != CENSUS_NONE) {
			t->told[c->sockets[i].netns].lacking++;
			any = true;
		}
	return any;
}

static int each_number(const struct tcp_sample *now, void *arg)
{
	const struct builder *b = ((struct snapshot_visit *)arg)->b;
	uint32_t i = map_get(&b->by_cookie, now->cookie);

	if (i != MAP_NONE && !(i & BUILDER_IS_LISTENER) && is_lacking(&b->c->sockets[i].s))
		b->c->sockets[i].s = *now;
	return 0;
}

/* The numbers of what nobody told of in full. No look-up finds what is bound to an interface, which
 * one records do not tell: that is sought among all in its state. */
static int visit_numbers(struct snapshot_visit *v, struct err *e)
{
	struct told *told = &((struct bpf_tier *)v)->told[v->netns];
	struct census *c = v->b->c;
	unsigned unfound = 0;
	int r = 0, fd = -1;

	for (uint32_t i = 0; told->lacking && i < c->sockets_n && r == 0; i++) {
		struct tcp_sample *s = &c->sockets[i].s, now;

		if (c->sockets[i].netns != v->netns || !is_lacking(s))
			continue;
		told->lacking--;
		if (fd < 0)
			fd = diag_open(e);
		r = fd < 0 ? fd : diag_lookup_bound(fd, s->ifindex, &s->local, &s->peer, &now, e);
		if (r == 0 && now.cookie == s->cookie)
			*s = now;
		else if (r == 0 && s->ifindex == TCP_BOUND_SOMEWHERE)
			unfound |= TCP_BIT(s->state);
	}
	if (r == 0 && unfound)
		r = diag_dump_as(fd, AF_UNSPEC, unfound, true, each_number, v, e);
	fd_close(fd);
	return r;
}

static bool news_may_be_held(const struct bpf_tier *t)
{
	const struct census *c = t->visit.b->c;

	for (uint32_t i = t->news; i < c->sockets_n; i++)
		if (c->sockets[i].s.inode)
			return true;
	return false;
}

static int run(struct bpf_tier *t, const struct netns_list *spaces, struct err *e)
{
	struct builder *b = t->visit.b;
	int r = sockets_pass(t->sockets, b->states | TCP_BIT(TCPS_LISTEN), each_record, t, e);

	b->looked_ns = clock_mono_ns();
	t->news = b->c->sockets_n;
	b->inodes =
		true; /* what is new may be a subflow of MPTCP, whose holder is known by inode */
	t->visit.fn = visit_list;
	if (r == 0)
		r = snapshot_visit_all(&t->visit, spaces, e);
	t->visit.fn = snapshot_visit_mptcp;
	if (r == 0 && t->has_mptcp)
		r = snapshot_visit_all(&t->visit, spaces, e);
	if (r == 0 && news_may_be_held(t)) {
		r = sockets_pass(t->sockets, b->states, each_news, t, e);
		b->looked_ns = clock_mono_ns();
	}
	if (r < 0 || !count_lacking(t))
		return r;
	t->visit.fn = visit_numbers;
	r = snapshot_visit_all(&t->visit, spaces, e);
	b->looked_ns = clock_mono_ns();
	return r;
}

int snapshot_bpf(struct builder *b, const struct snapshot_opts *opts,
		 const struct netns_list *spaces, struct sockets *sockets, bool *all_seen,
		 struct err *e)
{
	struct bpf_tier t = { .visit = { .b = b, .opts = opts }, .sockets = sockets };
	int r;

	t.told = calloc(b->c->netns_n + 1, sizeof(*t.told));
	if (!t.told)
		return -ENOMEM;
	b->c->tier = CENSUS_TIER_BPF;
	r = run(&t, spaces, e);
	free(t.told);
	*all_seen = true;
	return r;
}
