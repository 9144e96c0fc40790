/* SPDX-License-Identifier: MIT */
/* The tier with BPF. sock_diag tells of every connection in each namespace, of CLOSE_WAIT only that
 * it is there; then one pass over all descriptors of the host tells of those that somebody holds,
 * in full, with the holder. In that order: what has a descriptor when the dump is made and none in
 * the pass was closed or passed on between, and the second look (snapshot.c) clears it up.
 *
 * What the pass did not tell of (connections not yet accepted, sockets in messages) is asked for
 * once more, one by one, for its stamps. */
#include "doctor/snapshot_tiers.h"

#include <errno.h>
#include <string.h>

#include "base/fd.h"

/* The states that sock_diag lists. */
#define LISTED (((1u << TCPS_COUNT) - 1) & ~(TCP_BIT(TCPS_CLOSE) | TCP_BIT(TCPS_LISTEN)))

/* Listeners first: TIME_WAIT entries are told apart by them. */
static int visit_netns(struct snapshot_visit *v, struct err *e)
{
	int r = snapshot_dump(v, TCP_BIT(TCPS_LISTEN), false, snapshot_take_socket);

	if (r == 0 && v->b->states & LISTED)
		r = snapshot_dump(v, v->b->states & LISTED, false, snapshot_take_socket);
	return r;
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

static int each_descriptor(const struct sockets_found *f, void *arg)
{
	struct snapshot_visit *v = arg;
	struct builder_who who = { f->pid, f->comm };
	struct tcp_sample s;
	int r;

	if (f->is_mptcp) {
		r = builder_holder_of_inode(v->b, f->s.inode, &who, f->fd);
		return r < 0 ? r : 0;
	}
	s = merged(v->b, &f->s);
	r = builder_socket(v->b, &s, census_find_netns(v->b->c, s.netns));
	if (r == 0)
		r = builder_holder_of_cookie(v->b, s.cookie, &who, f->fd);
	return r < 0 ? r : 0;
}

/* The stamps of what no descriptor's record brought; time-wait entries have none. */
static int visit_stamps(struct snapshot_visit *v, struct err *e)
{
	struct census *c = v->b->c;
	int r = 0, fd = -1;

	for (uint32_t i = 0; i < c->sockets_n && r == 0; i++) {
		struct tcp_sample *s = &c->sockets[i].s, now;

		if (c->sockets[i].netns != v->netns || s->has_info ||
		    s->timer == TCP_TIMER_TIME_WAIT)
			continue;
		if (fd < 0)
			fd = r = diag_open(e);
		if (r >= 0)
			r = diag_lookup(fd, &s->local, &s->peer, &now, e);
		if (r == 0 && now.cookie == s->cookie)
			*s = now;
	}
	fd_close(fd);
	return r;
}

int snapshot_bpf(struct builder *b, const struct snapshot_opts *opts,
		 const struct netns_list *spaces, struct sockets **sockets, bool *all_seen,
		 struct err *e)
{
	struct snapshot_visit v = { .b = b, .fn = visit_netns, .opts = opts };
	int r = sockets_open(sockets, e);

	if (r < 0)
		return r == -ENOMEM ? r : -EOPNOTSUPP;
	b->c->tier = CENSUS_TIER_BPF;
	r = snapshot_visit_all(&v, spaces, e);
	if (r == 0)
		r = sockets_pass(*sockets, b->states | TCP_BIT(TCPS_LISTEN), each_descriptor, &v,
				 e);
	if (r == 0) {
		v.fn = visit_stamps;
		r = snapshot_visit_all(&v, spaces, e);
	}
	*all_seen = true;
	return r;
}
