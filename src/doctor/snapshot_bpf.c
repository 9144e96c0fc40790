/* SPDX-License-Identifier: MIT */
/* The tier with BPF. One pass over all descriptors of the host tells of the sockets that somebody
 * holds, in full, with the holder. Then sock_diag lists in each namespace what has no descriptor or
 * ends by itself, with its timers, and the listeners.
 *
 * CLOSE_WAIT, of which there may be very many, is not listed but counted. What the kernel has in
 * its tables is the listeners, what was listed, and CLOSE_WAIT; where that is not what the pass
 * told of, the kernel counts CLOSE_WAIT and adds up its cookies; where that does not agree either,
 * something has no descriptor (not yet accepted, in a message), or changed under way. Only then it
 * is listed after all. One more pass looks for the holders of what was new in the lists.
 *
 * What nobody told of in full is asked for one by one. */
#include "doctor/snapshot_tiers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

#define CLOSE_WAIT TCP_BIT(TCPS_CLOSE_WAIT)
/* The states that sock_diag lists. */
#define LISTED (((1u << TCPS_COUNT) - 1) & ~(TCP_BIT(TCPS_CLOSE) | TCP_BIT(TCPS_LISTEN)))

/* More other connections than this are not listed for the sake of a count. */
#define FEW_OTHERS 4096

struct bpf_tier {
	struct snapshot_visit visit; /* first: its visitors get it */
	struct sockets *sockets;
	struct sockets_count *told; /* CLOSE_WAIT, per namespace */
	uint32_t last_netns;        /* of the record before */
	uint32_t news;              /* sockets from this index on are not the pass's */
	uint32_t others;            /* sockets listed in the namespace visited */
};

static uint32_t netns_of(struct bpf_tier *t, uint64_t ino)
{
	const struct census *c = t->visit.b->c;

	if (t->last_netns >= c->netns_n || c->netns[t->last_netns].ino != ino)
		t->last_netns = census_find_netns(c, ino);
	return t->last_netns;
}

static int each_record(const struct sockets_found *f, void *arg)
{
	struct bpf_tier *t = arg;
	struct builder *b = t->visit.b;
	struct builder_who who = { f->pid, f->comm };
	uint32_t netns, which, before = b->c->sockets_n;
	int r;

	if (f->is_mptcp) /* its subflows are not known yet: each_news() */
		return 0;
	netns = netns_of(t, f->s.netns);
	r = builder_put(b, &f->s, netns, &which);
	if (r == 0 && b->c->sockets_n > before && netns != CENSUS_NONE &&
	    f->s.state == TCPS_CLOSE_WAIT)
		sockets_count(&t->told[netns], &f->s);
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

	t->others += s->timer != TCP_TIMER_TIME_WAIT && s->state != TCPS_SYN_RECV;
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

/* Whether the kernel's tables hold just the CLOSE_WAIT sockets that the pass told of. */
static int all_told(struct bpf_tier *t, bool counted, bool *all, struct err *e)
{
	const struct sockets_count *told = &t->told[t->visit.netns];
	const struct netns_numbers *n = &t->visit.numbers;
	struct sockets_count there;
	int r;

	*all = counted && n->in_use == t->visit.listeners + t->others + told->n;
	if (*all)
		return 0;
	r = sockets_tally(t->sockets, &there, e);
	*all = r == 0 && there.n == told->n && there.sum == told->sum;
	return r;
}

static int visit_list(struct snapshot_visit *v, struct err *e)
{
	struct bpf_tier *t = (struct bpf_tier *)v;
	unsigned states = v->b->states & LISTED & ~CLOSE_WAIT;
	uint64_t told = t->told[v->netns].n;
	bool count = v->numbers.has_sockstat && v->numbers.in_use <= told + FEW_OTHERS;
	bool all = true;
	int r;

	t->others = 0;
	if (count)
		states = LISTED & ~CLOSE_WAIT;
	r = snapshot_dump_all(v, states, false, take_listed);
	if (r < 0 || !(v->b->states & CLOSE_WAIT) || !v->b->c->netns[v->netns].has_connections)
		return r;
	r = all_told(t, count, &all, e);
	return r < 0 || all ? r : snapshot_dump(v, CLOSE_WAIT, false, take_listed);
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

/* The numbers of what nobody told of in full; time-wait entries have none. */
static int visit_numbers(struct snapshot_visit *v, struct err *e)
{
	struct census *c = v->b->c;
	int r = 0, fd = -1;

	for (uint32_t i = 0; i < c->sockets_n && r == 0; i++) {
		struct tcp_sample *s = &c->sockets[i].s, now;

		if (s->has_info || c->sockets[i].netns != v->netns ||
		    s->timer == TCP_TIMER_TIME_WAIT)
			continue;
		if (fd < 0)
			fd = diag_open(e);
		r = fd < 0 ? fd : diag_lookup(fd, &s->local, &s->peer, &now, e);
		if (r == 0 && now.cookie == s->cookie)
			*s = now;
	}
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

	t->news = b->c->sockets_n;
	b->inodes =
		true; /* what is new may be a subflow of MPTCP, whose holder is known by inode */
	t->visit.fn = visit_list;
	if (r == 0)
		r = snapshot_visit_all(&t->visit, spaces, e);
	if (r == 0 && news_may_be_held(t))
		r = sockets_pass(t->sockets, b->states, each_news, t, e);
	t->visit.fn = visit_numbers;
	return r == 0 ? snapshot_visit_all(&t->visit, spaces, e) : r;
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
