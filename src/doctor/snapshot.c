/* SPDX-License-Identifier: MIT */
/* How a snapshot is put together.
 *
 * A tier fills a builder with sockets and descriptors; the builder joins them and asks the rules.
 * What one look cannot prove is looked at again after LOOK_AGAIN_MS, and the second look is what
 * counts:
 *  - no-descriptor: a descriptor may have been made or passed on between the two passes of one
 * look;
 *  - dead: a program that is just about to close is no finding;
 *  - replying (without BPF): more bytes than at the first look.
 * Nothing else waits. */
#include "doctor/snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "base/vec.h"
#include "doctor/snapshot_tiers.h"
#include "kernel/proc.h"

#define LOOK_AGAIN_MS 100
/* A dump that the kernel calls changed is asked for so often. */
#define DUMP_TRIES 3
/* PROC_PID_INIT_INO of include/linux/proc_ns.h. */
#define INITIAL_PID_NAMESPACE 0xeffffffcu

void snapshot_partial(struct census *c, const struct err *why)
{
	if (!c->limits.partial)
		snprintf(c->limits.why, sizeof(c->limits.why), "%.255s", why->text);
	c->limits.partial = true;
}

static int visit_one(void *arg, struct err *e)
{
	struct snapshot_visit *v = arg;
	struct census_netns *ns = &v->b->c->netns[v->netns];
	struct netns_numbers numbers;

	netns_numbers(&numbers);
	ns->port_lo = numbers.port_lo;
	ns->port_hi = numbers.port_hi;
	ns->fin_timeout_ms = numbers.fin_timeout_ms;
	ns->seen = true;
	return v->fn(v, e);
}

int snapshot_visit_all(struct snapshot_visit *v, const struct netns_list *spaces, struct err *e)
{
	uint32_t n = v->opts->own_netns_only ? 1 : spaces->n;
	int r = 0;

	for (v->netns = 0; v->netns < n && r == 0; v->netns++) {
		r = netns_run(&spaces->v[v->netns], visit_one, v, e);
		if (v->b->c->netns[v->netns].seen)
			continue;
		if (r == -EPERM || r == -EACCES) {
			v->b->c->limits.netns_unseen++;
			r = 0;
		} else if (r == -ENOENT || r == -ESTALE || r == -ESRCH) {
			r = 0; /* it ended meanwhile */
		}
	}
	return r;
}

int snapshot_take_socket(const struct tcp_sample *s, void *visit)
{
	struct snapshot_visit *v = visit;

	return builder_socket(v->b, s, v->netns);
}

int snapshot_dump(struct snapshot_visit *v, int fd, unsigned states, bool info, diag_each_fn *each)
{
	static const int families[] = { AF_INET, AF_INET6 };

	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		struct err e = { 0 };
		int r = -EINTR;

		for (int tries = 0; r == -EINTR && tries < DUMP_TRIES; tries++) {
			if (states & TCP_BIT(TCPS_TIME_WAIT))
				builder_forget_time_wait(v->b, v->netns, families[i]);
			r = diag_dump_as(fd, families[i], states, info, each, v, &e);
		}
		if (r == -ENOMEM)
			return r;
		if (r < 0 && r != -ENOENT) /* ENOENT: a kernel without this family */
			snapshot_partial(v->b->c, &e);
	}
	return 0;
}

bool snapshot_sees_all_processes(void)
{
	cap_t caps = cap_get_proc();
	cap_flag_value_t has = CAP_CLEAR;
	struct stat st;

	if (caps)
		cap_get_flag(caps, CAP_SYS_PTRACE, CAP_EFFECTIVE, &has);
	cap_free(caps);
	return has == CAP_SET && stat("/proc/self/ns/pid", &st) == 0 &&
	       st.st_ino == INITIAL_PID_NAMESPACE;
}

/* Names a namespace that no mount names by what lives in it: its lowest process's container, else
 * that process itself. */
static void name_netns(struct census *c, const struct netns_list *spaces)
{
	for (uint32_t i = 0; i < c->netns_n; i++) {
		struct census_netns *ns = &c->netns[i];
		struct proc_info info = { 0 };
		char container[72] = "";

		if (ns->name[0] || !spaces->v[i].pid || proc_read(spaces->v[i].pid, &info) < 0)
			continue;
		if (info.cgroup)
			proc_container_id(info.cgroup, container, sizeof(container));
		if (spaces->v[i].pid == 1)
			snprintf(ns->name, sizeof(ns->name), "host");
		else if (container[0])
			snprintf(ns->name, sizeof(ns->name), "%.12s", container);
		else
			snprintf(ns->name, sizeof(ns->name), "%s[%u]", info.comm, spaces->v[i].pid);
		free(info.cgroup);
	}
}

static int fill(struct builder *b, const struct snapshot_opts *opts,
		const struct netns_list *spaces, bool *all_seen, struct err *e)
{
	int r = -EOPNOTSUPP;

	if (opts->tier != SNAPSHOT_PROC) {
		r = snapshot_bpf(b, opts, spaces, all_seen, e);
		if (r != -EOPNOTSUPP || opts->tier == SNAPSHOT_BPF)
			return r;
		snprintf(b->c->limits.tier_why, sizeof(b->c->limits.tier_why), "%.255s", e->text);
	}
	b->c->tier = CENSUS_TIER_PROC;
	return snapshot_proc(b, opts, spaces, all_seen, e);
}

static int look(const struct snapshot_opts *opts, struct census *c, struct err *e)
{
	struct netns_list spaces = { 0 };
	struct builder b = { 0 };
	bool all_seen = false;
	int r = netns_list(&spaces, e);

	if (r == 0) {
		r = builder_start(&b, c, &spaces);
		b.states = opts->states ? opts->states : SNAPSHOT_STATES;
		b.each_time_wait = opts->each_time_wait;
	}
	if (r == 0)
		r = fill(&b, opts, &spaces, &all_seen, e);
	if (r == 0) {
		name_netns(c, &spaces);
		r = builder_finish(&b, all_seen);
	}
	builder_free(&b);
	netns_list_free(&spaces);
	if (r == -ENOMEM)
		err_set(e, r, "no memory for the sockets of this host");
	return r;
}

/* What the first look could not prove, by cookie. */
struct doubts {
	struct doubt {
		uint64_t flow;
		uint8_t cause, state;
	} * v;
	uint32_t n, cap;
	struct map by_cookie;
};

static bool is_doubtful(const struct census_socket *s)
{
	return s->s.cookie && (s->v.cause == TCP_CAUSE_NO_DESCRIPTOR ||
			       s->v.cause == TCP_CAUSE_DEAD || tcp_may_be_replying(&s->s));
}

static int collect_doubts(const struct census *c, struct doubts *d)
{
	for (uint32_t i = 0; i < c->sockets_n; i++) {
		const struct census_socket *s = &c->sockets[i];

		if (!is_doubtful(s))
			continue;
		if (vec_reserve(&d->v, &d->cap, d->n + 1, sizeof(*d->v)) < 0 ||
		    map_put(&d->by_cookie, s->s.cookie, d->n) < 0)
			return -ENOMEM;
		d->v[d->n++] = (struct doubt){ tcp_flow(&s->s), s->v.cause, s->s.state };
	}
	return 0;
}

static void settle(struct census *c, struct census_socket *s, const struct doubts *d)
{
	uint32_t i = map_get(&d->by_cookie, s->s.cookie);
	const struct doubt *before = i == MAP_NONE ? NULL : &d->v[i];
	struct tcp_context context;

	if (s->v.cause == TCP_CAUSE_DEAD) {
		if (before && before->cause == TCP_CAUSE_DEAD) {
			s->v.age_is = TCP_AGE_AT_LEAST;
			s->v.age_ms = LOOK_AGAIN_MS;
		}
		return;
	}
	if (s->v.cause == TCP_CAUSE_NO_DESCRIPTOR)
		s->all_seen = before && before->cause == TCP_CAUSE_NO_DESCRIPTOR;
	s->flowing = before && before->state == s->s.state && tcp_flow(&s->s) > before->flow;
	context = census_context(c, s);
	s->v = tcp_verdict(&s->s, &context);
}

static int look_again(const struct snapshot_opts *opts, struct census *c, const struct doubts *d,
		      struct err *e)
{
	struct timespec wait = { .tv_nsec = LOOK_AGAIN_MS * 1000000L };
	int r;

	census_free(c);
	clock_nanosleep(CLOCK_MONOTONIC, 0, &wait, NULL);
	r = look(opts, c, e);
	for (uint32_t i = 0; r == 0 && i < c->sockets_n; i++)
		if (is_doubtful(&c->sockets[i]))
			settle(c, &c->sockets[i], d);
	return r;
}

int snapshot_take(const struct snapshot_opts *opts, struct census *out, struct err *e)
{
	struct census c = { 0 };
	struct doubts d = { 0 };
	int r = look(opts, &c, e);

	if (r == 0) {
		r = collect_doubts(&c, &d);
		if (r < 0)
			err_set(e, r, "no memory for the sockets of this host");
	}
	if (r == 0 && d.n > 0)
		r = look_again(opts, &c, &d, e);
	free(d.v);
	map_free(&d.by_cookie);
	if (r < 0) {
		census_free(&c);
		return r;
	}
	*out = c;
	return 0;
}
