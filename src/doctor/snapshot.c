/* SPDX-License-Identifier: MIT */
/* A tier fills a builder with sockets and descriptors; the builder joins them and asks the rules;
 * what one look cannot prove is looked at again (snapshot_again.c). */
#include "doctor/snapshot.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "doctor/snapshot_tiers.h"
#include "kernel/proc.h"

/* A dump that the kernel calls changed is asked for so often. */
#define DUMP_TRIES 3

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

	if (!ns->seen) {
		netns_numbers(&v->numbers);
		ns->port_lo = v->numbers.port_lo;
		ns->port_hi = v->numbers.port_hi;
		ns->fin_timeout_ms = v->numbers.fin_timeout_ms;
		ns->seen = true;
	}
	return v->fn(v, e);
}

int snapshot_visit_all(struct snapshot_visit *v, const struct netns_list *spaces, struct err *e)
{
	uint32_t n = v->opts->own_netns_only ? 1 : spaces->n;
	int r = 0;

	for (v->netns = 0; v->netns < n && r == 0; v->netns++) {
		if (v->opts->only && !filter_match_netns(v->opts->only, v->b->c, v->netns))
			continue;
		r = netns_run(&spaces->v[v->netns], visit_one, v, e);
		if (r == -ENOENT || r == -ESTALE || r == -ESRCH) { /* it ended meanwhile */
			r = 0;
		} else if ((r == -EPERM || r == -EACCES) && !v->b->c->netns[v->netns].seen) {
			v->b->c->limits.netns_unseen++;
			r = 0;
		}
	}
	return r;
}

int snapshot_take_socket(const struct tcp_sample *s, void *visit)
{
	struct snapshot_visit *v = visit;

	return builder_socket(v->b, s, v->netns);
}

static int dump(struct snapshot_visit *v, unsigned states, bool info, diag_each_fn *each, void *arg)
{
	struct err e = { 0 };
	int r = -EINTR;

	for (int tries = 0; r == -EINTR && tries < DUMP_TRIES; tries++) {
		int fd = diag_open(&e);

		if (states & TCP_BIT(TCPS_TIME_WAIT))
			builder_forget_time_wait(v->b, v->netns);
		r = fd < 0 ? fd : diag_dump_as(fd, AF_UNSPEC, states, info, each, arg, &e);
		fd_close(fd);
	}
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		snapshot_partial(v->b->c, &e);
	return 0;
}

int snapshot_dump(struct snapshot_visit *v, unsigned states, bool info, diag_each_fn *each)
{
	return dump(v, states, info, each, v);
}

int snapshot_visit_mptcp(struct snapshot_visit *v, struct err *e)
{
	unsigned states = v->b->states & TCP_HALF_CLOSED;
	_fd_ int fd = states ? diag_open(e) : -1;
	int r = fd < 0 ? fd : diag_dump_mptcp(fd, states, snapshot_take_socket, v, e);

	if (!states)
		return 0;
	if (r < 0 && r != -ENOMEM)
		snapshot_partial(v->b->c, e);
	return r == -ENOMEM ? r : 0;
}

struct listening {
	struct snapshot_visit *v;
	diag_each_fn *each;
};

static int count_listener(const struct tcp_sample *s, void *arg)
{
	struct listening *l = arg;

	l->v->listeners++;
	l->v->queued += s->recv_q;
	return l->each(s, l->v);
}

/* Listeners come first also because TIME_WAIT entries are told apart by them. */
int snapshot_dump_listeners(struct snapshot_visit *v, diag_each_fn *each)
{
	struct census_netns *ns = &v->b->c->netns[v->netns];
	struct listening l = { v, each };
	int r;

	v->listeners = 0;
	v->queued = 0;
	r = dump(v, TCP_BIT(TCPS_LISTEN), false, count_listener, &l);
	ns->has_connections = !v->numbers.has_sockstat || v->numbers.time_wait ||
			      v->numbers.in_use > v->listeners;
	return r;
}

int snapshot_dump_all(struct snapshot_visit *v, unsigned states, bool info, diag_each_fn *each)
{
	int r = snapshot_dump_listeners(v, each);

	states &= ~TCP_BIT(TCPS_LISTEN);
	if (r == 0 && states && v->b->c->netns[v->netns].has_connections)
		r = snapshot_dump(v, states, info, each);
	return r;
}

/* Whether the caller numbers processes as the kernel does: the BPF programs know only its numbers.
 */
static bool in_initial_pid_namespace(void)
{
	return !proc_own_pidns();
}

static bool has_capability(cap_value_t which)
{
	cap_t caps = cap_get_proc();
	cap_flag_value_t has = CAP_CLEAR;

	if (caps)
		cap_get_flag(caps, which, CAP_EFFECTIVE, &has);
	cap_free(caps);
	return has == CAP_SET;
}

bool snapshot_sees_all_processes(void)
{
	return has_capability(CAP_SYS_PTRACE) && in_initial_pid_namespace();
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

/* Loading the program takes half the time of a look at a quiet host; meanwhile the namespaces are
 * listed. */
struct loader {
	pthread_t thread;
	bool started;
	struct sockets *sockets;
	struct err e;
	int r;
};

static void *load(void *arg)
{
	struct loader *l = arg;

	if (in_initial_pid_namespace())
		l->r = sockets_open(&l->sockets, &l->e);
	else
		l->r = err_set(&l->e, -EOPNOTSUPP,
			       "in a pid namespace BPF tells process ids that mean nothing here");
	return NULL;
}

static void start_loading(struct loader *l)
{
	sigset_t all, before;

	sigfillset(&all); /* signals are the caller's business */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	l->started = pthread_create(&l->thread, NULL, load, l) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!l->started)
		load(l);
}

static void finish_loading(struct loader *l)
{
	if (l->started)
		pthread_join(l->thread, NULL);
	l->started = false;
}

static int fill(struct builder *b, const struct snapshot_opts *opts,
		const struct netns_list *spaces, struct loader *l, bool *all_seen, struct err *e)
{
	if (opts->tier != SNAPSHOT_PROC) {
		finish_loading(l);
		if (l->r == 0)
			return snapshot_bpf(b, opts, spaces, l->sockets, all_seen, e);
		if (opts->tier == SNAPSHOT_BPF) {
			*e = l->e;
			return l->r;
		}
		snprintf(b->c->limits.tier_why, sizeof(b->c->limits.tier_why), "%.255s", l->e.text);
	}
	b->c->tier = CENSUS_TIER_PROC;
	return snapshot_proc(b, opts, spaces, all_seen, e);
}

static int join(struct builder *b, const struct snapshot_opts *opts,
		const struct netns_list *spaces, struct loader *l, struct err *e)
{
	bool all_seen = false;
	int r;

	b->states = opts->states ? opts->states : SNAPSHOT_STATES;
	b->each_time_wait = opts->each_time_wait;
	name_netns(b->c, spaces);
	r = fill(b, opts, spaces, l, &all_seen, e);
	if (r == 0)
		r = builder_finish(b, all_seen);
	return r == 0 ? snapshot_look_again(b, opts, spaces, l->sockets, e) : r;
}

static int look(const struct snapshot_opts *opts, struct census *c, struct err *e)
{
	struct netns_list spaces = { 0 };
	struct builder b = { 0 };
	struct loader l = { 0 };
	int r;

	if (opts->tier != SNAPSHOT_PROC)
		start_loading(&l);
	r = netns_list(&spaces, e);
	if (r == 0)
		r = builder_start(&b, c, &spaces);
	c->limits.netns_untold = spaces.unseen;
	memcpy(c->limits.netns_untold_pid, spaces.unseen_pid, sizeof(spaces.unseen_pid));
	c->limits.privileged = snapshot_sees_all_processes() && has_capability(CAP_SYS_ADMIN);
	if (r == 0)
		r = join(&b, opts, &spaces, &l, e);
	finish_loading(&l);
	sockets_close(l.sockets);
	builder_free(&b);
	netns_list_free(&spaces);
	if (r == -ENOMEM)
		err_set(e, r, "no memory for the sockets of this host");
	return r;
}

int snapshot_take(const struct snapshot_opts *opts, struct census *out, struct err *e)
{
	struct census c = { 0 };
	int r = look(opts, &c, e);

	if (r < 0) {
		census_free(&c);
		return r;
	}
	*out = c;
	return 0;
}
