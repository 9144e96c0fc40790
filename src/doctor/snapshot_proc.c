/* SPDX-License-Identifier: MIT */
/* The tier without BPF: sock_diag in every namespace that may be entered, then the descriptors of
 * every process that may be read, joined by inode.
 *
 * A dead connection is in no hash table, so sock_diag does not know it. It is found from the other
 * side: a descriptor whose inode no answer named, that sockfs calls TCP, and that in a copy
 * (pidfd_getfd) has the state CLOSE and segments received. */
#include "doctor/snapshot_tiers.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/fd.h"
#include "kernel/owners.h"

#define ALL_STATES ((1u << TCPS_COUNT) - 1)

struct proc_tier {
	struct snapshot_visit visit; /* first: diag's callback gets it */
	struct map alive;            /* inodes that sock_diag named */
	bool has_mptcp;              /* it named such subflows */
};

static int each_socket(const struct tcp_sample *s, void *arg)
{
	struct proc_tier *t = arg;

	t->has_mptcp |= s->mptcp != TCP_MPTCP_NOT;
	if (s->inode && map_put(&t->alive, s->inode, 0) < 0)
		return -ENOMEM;
	return snapshot_take_socket(s, &t->visit);
}

static int visit_netns(struct snapshot_visit *v, struct err *e)
{
	return snapshot_dump_all(v, ALL_STATES, true, each_socket);
}

static int take_dead(struct proc_tier *t, const struct owner *o)
{
	struct census *c = t->visit.b->c;
	struct tcp_sample s;
	int r = owner_look(o, &s);

	if (r < 0) {
		c->limits.dead_unseen += r == -EPERM || r == -EACCES;
		return 0;
	}
	if (r == 0 || s.state != TCPS_CLOSE)
		return 0;
	return builder_socket(t->visit.b, &s, census_find_netns(c, s.netns));
}

static int each_owner(const struct owner *o, void *arg)
{
	struct proc_tier *t = arg;
	struct builder_who who = { o->pid, NULL };
	int r;

	if (map_get(&t->alive, o->inode) == MAP_NONE &&
	    map_get(&t->visit.b->by_inode, o->inode) == MAP_NONE) {
		r = t->visit.b->states & TCP_BIT(TCPS_CLOSE) ? take_dead(t, o) : 0;
		if (r < 0)
			return r;
	}
	r = builder_holder_of_inode(t->visit.b, o->inode, &who, o->fd);
	return r < 0 ? r : 0;
}

int snapshot_proc(struct builder *b, const struct snapshot_opts *opts,
		  const struct netns_list *spaces, bool *all_seen, struct err *e)
{
	struct proc_tier t = { .visit = { .b = b, .fn = visit_netns, .opts = opts } };
	struct census_limits *limits = &b->c->limits;
	int r;

	b->inodes = true;
	r = snapshot_visit_all(&t.visit, spaces, e);
	t.visit.fn = snapshot_visit_mptcp;
	if (r == 0 && t.has_mptcp)
		r = snapshot_visit_all(&t.visit, spaces, e);
	if (r == 0)
		r = owners_walk(each_owner, &t, &limits->procs_unseen, e);
	b->looked_ns = clock_mono_ns();
	map_free(&t.alive);
	*all_seen = limits->procs_unseen.processes == 0 && snapshot_sees_all_processes();
	return r;
}
