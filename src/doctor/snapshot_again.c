/* SPDX-License-Identifier: MIT */
/* The second look. What one look cannot prove:
 *  - no-descriptor: a descriptor may have been made or passed on between the answers of one look.
 * It stays where the socket is still there, in its state, and again nobody holds it;
 *  - dead: a program that is just about to close is no finding. It stays where the socket is still
 *    held LOOK_AGAIN_MS later, which is then its age at least;
 *  - replying, where stamps do not tell: more bytes than LOOK_AGAIN_MS ago prove it.
 * Only what the caller's filter means is looked at again, one by one; nothing else waits. The time
 * runs from the end of the first look at descriptors, so that the rest of that look is no wait. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/vec.h"
#include "doctor/snapshot_tiers.h"
#include "kernel/owners.h"

#define LOOK_AGAIN_MS 100

struct doubt {
	uint32_t socket; /* index */
	bool there;      /* it is there, in the same state */
	bool held;       /* somebody holds it */
	bool flowing;
};

struct again {
	struct snapshot_visit visit; /* first: the namespaces' visitor gets it */
	struct doubt *v;
	uint32_t n, cap;
	struct map by_cookie, by_inode; /* to v */
};

static struct census_socket *socket_of(struct again *a, const struct doubt *d)
{
	return &a->visit.b->c->sockets[d->socket];
}

static int collect(struct again *a, const struct filter *only)
{
	struct census *c = a->visit.b->c;

	for (uint32_t i = 0; i < c->sockets_n; i++) {
		const struct census_socket *s = &c->sockets[i];
		bool moving = s->v.cause == TCP_CAUSE_DEAD || tcp_may_be_replying(&s->s);

		if (!s->s.cookie || (!moving && s->v.cause != TCP_CAUSE_NO_DESCRIPTOR) ||
		    (only && !filter_match_facts(only, c, s)))
			continue;
		if (vec_reserve(&a->v, &a->cap, a->n + 1, sizeof(*a->v)) < 0 ||
		    map_put(&a->by_cookie, s->s.cookie, a->n) < 0 ||
		    map_put(&a->by_inode, s->s.inode, a->n) < 0)
			return -ENOMEM;
		a->v[a->n++] = (struct doubt){ .socket = i };
	}
	return 0;
}

static int each_by_cookie(const struct tcp_sample *now, void *arg)
{
	struct again *a = arg;
	uint32_t i = map_get(&a->by_cookie, now->cookie);
	const struct census_socket *s;

	if (i == MAP_NONE)
		return 0;
	s = socket_of(a, &a->v[i]);
	if (now->state == s->s.state) {
		a->v[i].there = true;
		a->v[i].flowing = tcp_flow(now) > tcp_flow(&s->s);
	}
	return 0;
}

/* What no look-up finds is sought among all that are in such a state: an MPTCP connection, and what
 * is bound to an interface that the first look did not tell (sockets_pass()). */
struct unfound {
	bool mptcp;
	unsigned states; /* TCP_BIT set, of those that may be bound */
};

static int seek(struct again *a, int fd, const struct unfound *u, struct err *e)
{
	int r = 0;

	if (u->mptcp)
		r = diag_dump_mptcp(fd, TCP_HALF_CLOSED, each_by_cookie, a, e);
	if (r == 0 && u->states)
		r = diag_dump_as(fd, AF_UNSPEC, u->states, true, each_by_cookie, a, e);
	return r;
}

/* Asks sock_diag for the doubtful connections of one namespace. */
static int visit_netns(struct snapshot_visit *v, struct err *e)
{
	struct again *a = (struct again *)v;
	struct unfound unfound = { 0 };
	int r = 0, fd = -1;

	for (uint32_t i = 0; i < a->n && r == 0; i++) {
		const struct census_socket *s = socket_of(a, &a->v[i]);
		struct tcp_sample now = { 0 };

		if (s->netns != v->netns || s->s.state == TCPS_CLOSE)
			continue;
		if (fd < 0)
			fd = diag_open(e);
		if (s->s.mptcp == TCP_MPTCP_CONNECTION) { /* no look-up finds it */
			unfound.mptcp = true;
			continue;
		}
		r = fd < 0 ? fd
			   : diag_lookup_bound(fd, s->s.ifindex, &s->s.local, &s->s.peer, &now, e);
		if (r == 0 && now.cookie == s->s.cookie)
			each_by_cookie(&now, a);
		else if (s->s.ifindex == TCP_BOUND_SOMEWHERE)
			unfound.states |= TCP_BIT(s->s.state);
	}
	if (r == 0)
		r = fd < 0 ? 0 : seek(a, fd, &unfound, e);
	fd_close(fd);
	return r;
}

static bool holders_matter(struct again *a)
{
	const unsigned causes = TCP_CAUSE_BIT(TCP_CAUSE_DEAD) |
				TCP_CAUSE_BIT(TCP_CAUSE_NO_DESCRIPTOR);

	for (uint32_t i = 0; i < a->n; i++)
		if (causes & TCP_CAUSE_BIT(socket_of(a, &a->v[i])->v.cause))
			return true;
	return false;
}

/* All that is told of others is passed over by the kernel. */
static unsigned states_of(struct again *a)
{
	unsigned states = 0;

	for (uint32_t i = 0; i < a->n; i++)
		states |= TCP_BIT(socket_of(a, &a->v[i])->s.state);
	return states;
}

static int each_record(const struct sockets_found *f, void *arg)
{
	struct again *a = arg;
	uint32_t i = f->is_mptcp ? map_get(&a->by_inode, f->s.inode)
				 : map_get(&a->by_cookie, f->s.cookie);

	if (i == MAP_NONE)
		return 0;
	a->v[i].held = true;
	a->v[i].there |= !f->is_mptcp && f->s.state == socket_of(a, &a->v[i])->s.state;
	return 0;
}

static int each_owner(const struct owner *o, void *arg)
{
	struct again *a = arg;
	uint32_t i = map_get(&a->by_inode, o->inode);
	const struct census_socket *s;
	struct tcp_sample now;

	if (i == MAP_NONE)
		return 0;
	s = socket_of(a, &a->v[i]);
	a->v[i].held = true;
	if (s->s.state == TCPS_CLOSE && owner_look(o, &now) == 1)
		a->v[i].there = now.cookie == s->s.cookie && now.state == TCPS_CLOSE;
	return 0;
}

static void settle(struct again *a)
{
	for (uint32_t i = 0; i < a->n; i++) {
		const struct doubt *d = &a->v[i];
		struct census_socket *s = socket_of(a, d);
		struct tcp_context context;

		if (s->v.cause == TCP_CAUSE_DEAD) {
			if (d->there) {
				s->v.age_is = TCP_AGE_AT_LEAST;
				s->v.age_ms = s->s.dead_ms > LOOK_AGAIN_MS ? s->s.dead_ms
									   : LOOK_AGAIN_MS;
			}
			continue;
		}
		if (s->v.cause == TCP_CAUSE_NO_DESCRIPTOR)
			s->all_seen = d->there && !d->held;
		s->flowing = d->flowing;
		context = census_context(a->visit.b->c, s);
		s->v = tcp_verdict(&s->s, &context);
	}
}

static int seek_holders(struct again *a, struct sockets *sockets, struct err *e)
{
	struct census_unseen unseen;

	if (sockets)
		return sockets_pass(sockets, states_of(a), each_record, a, e);
	return owners_walk(each_owner, a, &unseen, e);
}

static void wait_until(int64_t ns)
{
	struct timespec until = { ns / CLOCK_NS_PER_S, ns % CLOCK_NS_PER_S };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

int snapshot_look_again(struct builder *b, const struct snapshot_opts *opts,
			const struct netns_list *spaces, struct sockets *sockets, struct err *e)
{
	struct again a = { .visit = { .b = b, .fn = visit_netns, .opts = opts } };
	int r = collect(&a, opts->only);

	if (r == 0 && a.n > 0) {
		wait_until(b->looked_ns + LOOK_AGAIN_MS * CLOCK_NS_PER_MS);
		if (holders_matter(&a))
			r = seek_holders(&a, sockets, e);
		/* After the holders: what is still there now was there while they were sought. */
		if (r == 0)
			r = snapshot_visit_all(&a.visit, spaces, e);
		if (r == 0)
			settle(&a);
	}
	free(a.v);
	map_free(&a.by_cookie);
	map_free(&a.by_inode);
	return r;
}
