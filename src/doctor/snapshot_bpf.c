/* SPDX-License-Identifier: MIT */
/* The tier with BPF. sock_diag lists what ends by itself in each namespace, with its timers, and
 * the listeners. One pass over all descriptors of the host tells of what somebody holds, in full,
 * with the holder. CLOSE_WAIT, of which there may be very many, is not listed: the kernel counts it
 * in each namespace and adds up its cookies. Only where that is not what the pass told of is there
 * something without a descriptor (not yet accepted, in a message), or something changed under way;
 * then it is listed after all, and one more pass looks for the holders of what is new.
 *
 * What neither told of in full is asked for one by one. */
#include "doctor/snapshot_tiers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

#define CLOSE_WAIT TCP_BIT(TCPS_CLOSE_WAIT)
/* The states that sock_diag lists. */
#define LISTED (((1u << TCPS_COUNT) - 1) & ~(TCP_BIT(TCPS_CLOSE) | TCP_BIT(TCPS_LISTEN)))

struct bpf_tier {
	struct snapshot_visit visit; /* first: its visitors get it */
	struct sockets *sockets;
	struct sockets_count *told; /* CLOSE_WAIT, per namespace */
	uint32_t last_netns;        /* of the record before */
	uint32_t news;              /* sockets from this index on are not told of */
};

static int visit_list(struct snapshot_visit *v, struct err *e)
{
	return snapshot_dump_all(v, v->b->states & LISTED & ~CLOSE_WAIT, false,
				 snapshot_take_socket);
}

/* Joins a record with what sock_diag said of the same socket: that has the timer, which is still
 * true as long as the state is the same. */
static struct tcp_sample merged(const struct builder *b, const struct tcp_sample *record)
{
	uint32_t i = map_get(&b->by_cookie, record->cookie);
	struct tcp_sample s = *record;
	const struct tcp_sample *listed;

	if (i == MAP_NONE || i & BUILDER_IS_LISTENER)
		return s;
	listed = &b->c->sockets[i].s;
	s.mptcp = listed->mptcp;
	if (listed->state == s.state) {
		s.timer = listed->timer;
		s.timer_ms = listed->timer_ms;
		s.retransmits = listed->retransmits;
	}
	return s;
}

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

	if (f->is_mptcp) {
		r = builder_holder_of_inode(b, f->s.inode, &who, f->fd);
		return r < 0 ? r : 0;
	}
	netns = netns_of(t, f->s.netns);
	if (f->s.state == TCPS_CLOSE_WAIT || f->s.state == TCPS_CLOSE) {
		r = builder_put(b, &f->s, netns, &which);
	} else {
		struct tcp_sample s = merged(b, &f->s);

		r = builder_put(b, &s, netns, &which);
	}
	if (r == 0 && b->c->sockets_n > before && netns != CENSUS_NONE &&
	    f->s.state == TCPS_CLOSE_WAIT)
		sockets_count(&t->told[netns], &f->s);
	if (r == 0)
		r = builder_holder_of(b, which, &who, f->fd);
	return r < 0 ? r : 0;
}

static int take_news(const struct tcp_sample *s, void *arg)
{
	struct bpf_tier *t = arg;

	if (map_get(&t->visit.b->by_cookie, s->cookie) != MAP_NONE)
		return 0;
	return snapshot_take_socket(s, &t->visit);
}

/* Lists CLOSE_WAIT where the kernel has another count of it than the pass told of. */
static int visit_compare(struct snapshot_visit *v, struct err *e)
{
	struct bpf_tier *t = (struct bpf_tier *)v;
	const struct sockets_count *told = &t->told[v->netns];
	struct sockets_count there;
	int r;

	if (!v->b->c->netns[v->netns].has_connections)
		return 0;
	r = sockets_tally(t->sockets, &there, e);
	if (r < 0)
		return r;
	if (there.n == told->n && there.sum == told->sum)
		return 0;
	return snapshot_dump(v, CLOSE_WAIT, false, take_news);
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

/* The numbers of what no record brought in full; time-wait entries have none. */
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

static int run(struct bpf_tier *t, const struct netns_list *spaces, struct err *e)
{
	struct builder *b = t->visit.b;
	int r;

	t->visit.fn = visit_list;
	r = snapshot_visit_all(&t->visit, spaces, e);
	if (r == 0)
		r = sockets_pass(t->sockets, b->states | TCP_BIT(TCPS_LISTEN), each_record, t, e);
	t->news = b->c->sockets_n;
	if (r == 0 && b->states & CLOSE_WAIT) {
		t->visit.fn = visit_compare;
		r = snapshot_visit_all(&t->visit, spaces, e);
	}
	if (r == 0 && b->c->sockets_n > t->news)
		r = sockets_pass(t->sockets, b->states, each_news, t, e);
	t->visit.fn = visit_numbers;
	return r == 0 ? snapshot_visit_all(&t->visit, spaces, e) : r;
}

int snapshot_bpf(struct builder *b, const struct snapshot_opts *opts,
		 const struct netns_list *spaces, struct sockets **sockets, bool *all_seen,
		 struct err *e)
{
	struct bpf_tier t = { .visit = { .b = b, .opts = opts } };
	int r = sockets_open(sockets, e);

	if (r < 0)
		return r == -ENOMEM ? r : -EOPNOTSUPP;
	t.sockets = *sockets;
	t.told = calloc(b->c->netns_n + 1, sizeof(*t.told));
	if (!t.told)
		return -ENOMEM;
	b->c->tier = CENSUS_TIER_BPF;
	r = run(&t, spaces, e);
	free(t.told);
	*all_seen = true;
	return r;
}
