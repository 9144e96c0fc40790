/* SPDX-License-Identifier: MIT */
#include "doctor/watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/vec.h"
#include "doctor/watch_state.h"
#include "kernel/netns.h"
#include "kernel/proc.h"
#include "tcp/state.h"

/* Longest wait between two turns. */
#define TURN_MS 60000
/* Least time between two searches for what has come due, and so many times as long as one takes,
 * where that is more, but no longer than the last. What comes due meanwhile is said so much
 * later. */
#define SEARCH_MS   10
#define SEARCH_REST 20
#define REST_MS     50
/* Ends that are looked at again at a time: the smallest buffer holds their events. */
#define LOOKS_AT_ONCE 8
/* An end's stacks are read ahead, which takes a tenth of a second for the first of a program, once
 * most have closed: where a glance finds it older than half of this part of the threshold. There
 * are so many glances in the time of one. Where that leaves less than this time for it, the stacks
 * of all that a glance finds are read. */
#define READ_AHEAD 8
#define READ_NS    (800 * CLOCK_NS_PER_MS)
/* Between two attempts to match ends that nobody who is watched held so far; and so many times as
 * long as the attempt takes, where that is more. */
#define MATCH_MS   250
#define MATCH_REST 20

static int remember_fresh(struct doctor *d, const struct watch_event *ev)
{
	if (vec_reserve(&d->fresh, &d->fresh_cap, d->fresh_count + 1, sizeof(*d->fresh)))
		return -ENOMEM;
	d->fresh[d->fresh_count++] = *ev;
	return 0;
}

static void on_report(struct doctor *d, const struct watch_event *ev)
{
	struct open_end *end = ends_insert(&d->ends, ev->sk);

	if (end && remember_fresh(d, ev)) {
		ends_remove(&d->ends, end);
		end = NULL;
	}
	if (!end) {
		d->forgotten++;
		return;
	}
	/* A walk that matches owners gives them, but for those that it passed before. */
	d->owners_unseen |= !d->setup.watch.rules.by_owner || d->matching_few ||
			    ev->conn.flags & WATCH_OTHERS;
	end->began = ev->conn.began;
	end->cookie = ev->cookie;
	end->cgroup = ev->cgroup;
	end->netns = ev->netns;
	end->flags = (uint16_t)ev->conn.flags;
	end->state = ev->state;
	if (ends_set_address(&d->ends, end,
			     &(struct end_address){ ev->local, ev->peer, ev->local_port,
						    ev->peer_port, ev->family })) {
		ends_remove(&d->ends, end);
		d->forgotten++;
	}
}

/* Reports wait for their owners, so what follows on one waits too. */
static bool still_fresh(const struct doctor *d, const struct watch_event *ev)
{
	for (uint32_t i = d->fresh_count; i-- > 0;)
		if (d->fresh[i].sk == ev->sk && d->fresh[i].conn.began == ev->conn.began)
			return true;
	return false;
}

static int on_event(const struct watch_event *ev, void *arg)
{
	struct doctor *d = arg;

	if (ev->kind >= WATCH_KINDS)
		return 0;
	d->received[ev->kind]++;
	if (ev->kind == WATCH_REPORT)
		on_report(d, ev);
	else if (!d->fresh_count || !still_fresh(d, ev))
		watch_follow_up(d, ev);
	else if (remember_fresh(d, ev))
		d->forgotten++;
	return 0;
}

static struct tw_owner owner_of(const struct watch_owner *o)
{
	struct tw_owner owner = { .pid = (int32_t)o->tgid, .fd = o->fd, .start_ns = o->start };

	memcpy(owner.comm, o->comm, sizeof(owner.comm));
	return owner;
}

static void add_listener(struct doctor *d, const struct watch_owner *o)
{
	if (vec_reserve(&d->listeners, &d->listener_cap, d->listener_count + 1,
			sizeof(*d->listeners)))
		return;
	d->listeners[d->listener_count++] = (struct listener){ o->netns, o->port, owner_of(o) };
}

static void on_owner(const struct watch_owner *o, void *arg)
{
	struct doctor *d = arg;
	struct tw_owner owner = owner_of(o);
	struct open_end *end;

	if (o->state == TCPS_LISTEN) {
		add_listener(d, o);
		return;
	}
	end = ends_find(&d->ends, o->sk);
	if (!end || end->began != o->began)
		return;
	end->cookie = o->cookie;
	ends_add_owner(&d->ends, end, &owner);
}

/* An end that waits to be accepted has no descriptor: its listener's owner stands in. */
static void borrow_listener(struct doctor *d, struct open_end *end)
{
	for (uint32_t i = 0; i < d->listener_count; i++) {
		const struct listener *l = &d->listeners[i];

		if (l->port == end->local_port && l->netns == end->netns)
			ends_add_owner(&d->ends, end, &l->owner);
	}
}

/* Asked while the process is there, kept for later lines. */
static void find_container(struct doctor *d, const struct open_end *end)
{
	struct holder *first;
	struct proc_info info;
	char id[72] = "";

	if (!end->first.holder)
		return;
	first = holders_at(&d->ends.holders, end->first.holder);
	if (first->asked)
		return;
	first->asked = true;
	if (proc_read((uint32_t)first->who.pid, &info))
		return;
	if (info.cgroup)
		proc_container_id(info.cgroup, id, sizeof(id));
	free(info.cgroup);
	if (*id)
		first->container = strdup(id);
}

static void say_fresh(struct doctor *d)
{
	uint32_t n = d->fresh_count;

	d->fresh_count = 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct watch_event *ev = &d->fresh[i];
		struct open_end *end = ends_find(&d->ends, ev->sk);

		if (ev->kind != WATCH_REPORT) {
			watch_follow_up(d, ev);
			continue;
		}
		if (!end || end->began != ev->conn.began)
			continue;
		end->waiting = watch_is_waiting(ev);
		if (end->waiting)
			borrow_listener(d, end);
		find_container(d, end);
		watch_due(d, end, ev);
	}
	if (!d->fresh_count)
		vec_rest(&d->fresh, &d->fresh_cap, WATCH_AT_REST);
}

/* In pid namespaces of their own processes may have no number that they could be asked for by. */
static bool can_ask(const struct doctor *d)
{
	return watch_sees_all_processes(d->watch);
}

static int find_owners(struct doctor *d, bool take_in, struct err *e)
{
	d->listener_count = 0;
	d->owners_unseen = false;
	return watch_owners(d->watch, take_in, on_owner, d, e);
}

/* The time between two glances. */
static uint64_t glance_interval(const struct doctor *d)
{
	uint64_t part = d->setup.watch.rules.after / READ_AHEAD;

	return part > REST_MS * CLOCK_NS_PER_MS ? part : REST_MS * CLOCK_NS_PER_MS;
}

/* The age from which stacks are read ahead. */
static uint64_t ahead_age(const struct doctor *d)
{
	uint64_t after = d->setup.watch.rules.after, age = after / READ_AHEAD / 2;

	return after < age + glance_interval(d) + READ_NS ? 0 : age;
}

static void read_ahead(uint32_t slot, void *arg)
{
	const struct doctor *d = arg;

	stacks_read_ahead(d->stacks, slot);
}

/* Finds the stacks that may be needed soon. What is found to be due meanwhile is reported. */
static int glance(struct doctor *d, struct err *e)
{
	int r = watch_glance(d->watch, ahead_age(d), on_event, d, &d->found, e);

	d->next_glance = (uint64_t)clock_mono_ns() + glance_interval(d);
	if (d->found.more)
		d->next_search = d->searched;
	d->unmatched |= d->found.due > 0;
	watch_marked(d->watch, read_ahead, d);
	return r;
}

static int search(struct doctor *d, bool match, struct err *e)
{
	uint64_t begun = (uint64_t)clock_mono_ns(), rest;
	int r = watch_turn(d->watch, match, on_event, d, &d->found, e);

	rest = ((uint64_t)clock_mono_ns() - begun) * SEARCH_REST;
	if (rest < SEARCH_MS * CLOCK_NS_PER_MS)
		rest = SEARCH_MS * CLOCK_NS_PER_MS;
	if (rest > REST_MS * CLOCK_NS_PER_MS)
		rest = REST_MS * CLOCK_NS_PER_MS;
	d->searched = begun;
	d->rested = begun + rest;
	d->next_search = d->found.next > d->rested ? d->found.next : d->rested;
	if (d->found.more)
		d->next_search = begun;
	d->unmatched |= d->found.due > 0;
	return r;
}

/* The files of the fresh ends. Returns how many; -1: they are too many, or one waits in an accept
 * queue and has none. */
static int fresh_files(const struct doctor *d, uint64_t files[WATCH_ASKED_MOST])
{
	int n = 0;

	for (uint32_t i = 0; i < d->fresh_count; i++) {
		const struct watch_event *ev = &d->fresh[i];

		if (ev->kind != WATCH_REPORT)
			continue;
		if (n == WATCH_ASKED_MOST || watch_is_waiting(ev))
			return -1;
		if (ev->file)
			files[n++] = ev->file;
	}
	return n;
}

/* Those of which owners may be missing have them counted anew. Where they are few, only their
 * holders are looked at. */
static int find_all_owners(struct doctor *d, struct err *e)
{
	uint64_t files[WATCH_ASKED_MOST];
	int n = can_ask(d) ? fresh_files(d, files) : -1, r = -E2BIG;

	for (uint32_t i = 0; i < d->fresh_count; i++) {
		struct open_end *end = ends_find(&d->ends, d->fresh[i].sk);

		if (end && d->fresh[i].kind == WATCH_REPORT)
			ends_drop_owners(&d->ends, end);
	}
	d->owners_unseen = false;
	d->listener_count = 0;
	if (n == 0)
		return 0;
	if (n > 0)
		r = watch_owners_of(d->watch, files, (unsigned)n, on_owner, d, e);
	return r == -E2BIG || r == -EOPNOTSUPP ? find_owners(d, false, e) : r;
}

/* Matches the wanted ends with the descriptors of those who are watched; of the others that may
 * hold them nothing is known then. */
static int match_with_watched(struct doctor *d, struct err *e)
{
	int r = -E2BIG;

	d->listener_count = 0;
	watch_forget_ports(d->watch);
	if (can_ask(d)) {
		d->matching_few = true;
		r = watch_owners_of(d->watch, NULL, 0, on_owner, d, e);
		d->matching_few = false;
	}
	return r == -E2BIG || r == -EOPNOTSUPP ? find_owners(d, false, e) : r;
}

/* UINT64_MAX: there is nothing to match. */
static uint64_t next_matching(const struct doctor *d)
{
	if (d->unmatched)
		return d->next_walk;
	return d->found.wanted ? d->next_match : UINT64_MAX;
}

/* Where only some processes are watched, what came due is matched with their descriptors: at once,
 * but so that as much time goes into other things; and again while some are unmatched, since a
 * connection may be accepted, or a descriptor passed, later. */
static int match_owners(struct doctor *d, struct err *e)
{
	uint64_t now = (uint64_t)clock_mono_ns(), took;
	int r;

	if (now < next_matching(d))
		return 0;
	d->unmatched = false; /* but for what comes due during the walk */
	r = match_with_watched(d, e);
	took = (uint64_t)clock_mono_ns() - now;
	d->next_walk = now + 2 * took;
	d->next_match = now + MATCH_MS * CLOCK_NS_PER_MS + MATCH_REST * took;
	d->ports_unmatched = true;
	return r;
}

/* Those that wait in the accept queue of one who is watched. What the walk brought is said first.
 */
static int match_ports(struct doctor *d, struct err *e)
{
	if (!d->ports_unmatched || d->fresh_count)
		return 0;
	d->ports_unmatched = false;
	return search(d, true, e);
}

/* Of those that may have changed, what they are now. */
static int look_again(struct doctor *d, struct err *e)
{
	uint64_t now = (uint64_t)clock_mono_ns(), rest = d->setup.watch.rules.after;
	uint32_t asked = 0;
	int r = 0;

	if (now < d->next_again)
		return 0;
	d->next_again = UINT64_MAX;
	for (uint32_t i = 0; !r && i < d->ends.used; i++) {
		const struct open_end *end = &d->ends.v[i];

		if (!end->sk || !end->again)
			continue;
		r = watch_look(d->watch, end->sk, end->began, e);
		if (!r && ++asked % LOOKS_AT_ONCE == 0)
			r = watch_drain(d->watch, on_event, d, e);
	}
	if (!r && asked)
		r = watch_drain(d->watch, on_event, d, e);
	if (rest < SEARCH_MS * CLOCK_NS_PER_MS)
		rest = SEARCH_MS * CLOCK_NS_PER_MS;
	if (asked && now + rest < d->next_again)
		d->next_again = now + rest;
	return r;
}

/* Also for an end that waits for its partner: whether that came due, too, is known after a search.
 */
static uint64_t next_search(const struct doctor *d)
{
	uint64_t late = d->next_late > d->rested ? d->next_late : d->rested;

	return d->late_count && late < d->next_search ? late : d->next_search;
}

static int wait_for(const struct doctor *d)
{
	uint64_t now = (uint64_t)clock_mono_ns(), next = watch_next_late(d, next_search(d));

	if (d->next_again < next)
		next = d->next_again;
	if (d->next_glance < next)
		next = d->next_glance;
	if (d->setup.watch.rules.by_owner && next_matching(d) < next)
		next = next_matching(d);
	if (d->ports_unmatched)
		return 0;
	if (next > now + TURN_MS * CLOCK_NS_PER_MS)
		return TURN_MS;
	return next > now ? (int)((next - now) / CLOCK_NS_PER_MS) + 1 : 0;
}

/* Hands on what the kernel has sent, and looks for more where something may have come due. */
static int look(struct doctor *d, struct err *e)
{
	int r = watch_stacks(d->watch, watch_keep_stack, d, e);

	if (r)
		return r;
	if ((uint64_t)clock_mono_ns() >= next_search(d))
		r = search(d, false, e);
	else if ((uint64_t)clock_mono_ns() >= d->next_glance)
		r = glance(d, e);
	else
		r = watch_drain(d->watch, on_event, d, e);
	if (!r)
		r = look_again(d, e);
	if (!r && d->setup.watch.rules.by_owner)
		r = match_owners(d, e);
	return r ? r : match_ports(d, e);
}

int doctor_turn(struct doctor *d, int *wait_ms, struct err *e)
{
	int r = look(d, e);

	if (!r && d->owners_unseen)
		r = find_all_owners(d, e);
	if (r)
		return r;
	say_fresh(d);
	stacks_collect(d->stacks);
	watch_say_late(d, false);
	*wait_ms = wait_for(d);
	return 0;
}

int doctor_finish(struct doctor *d, struct err *e)
{
	int r;

	watch_detach(d->watch);
	r = watch_drain(d->watch, on_event, d, e);
	if (!r)
		r = watch_stacks(d->watch, watch_keep_stack, d, e);
	say_fresh(d); /* whose owners can no longer be asked for */
	watch_say_late(d, true);
	return r;
}

static int take_in_here(void *arg, struct err *e)
{
	return watch_take_in(arg, e);
}

/* What was half-closed before: by descriptor in all namespaces, then what has none, namespace by
 * namespace. One that is gone meanwhile is passed over; one that may not be entered is counted. */
static int take_in(struct doctor *d, struct err *e)
{
	struct netns_list list = { 0 };
	int r = find_owners(d, true, e);

	if (!r)
		r = watch_take_in(d->watch, e);
	if (!r)
		r = netns_list(&list, e);
	for (uint32_t i = 1; !r && i < list.n; i++) {
		struct err unused;

		switch (netns_run(&list.v[i], take_in_here, d->watch, &unused)) {
		case 0:
		case -ESTALE: /* this and the next two: gone */
		case -ENOENT:
		case -ESRCH:
			break;
		case -ENOTRECOVERABLE:
			r = err_set(e, -ENOTRECOVERABLE, "%s", unused.text);
			break;
		default:
			d->unentered++;
		}
	}
	netns_list_free(&list);
	return r;
}

/* One descriptor for the events and the stacks. */
static int make_poll(struct doctor *d, struct err *e)
{
	int from[] = { watch_fd(d->watch), watch_stack_fd(d->watch), stacks_fd(d->stacks) };

	d->poll = epoll_create1(EPOLL_CLOEXEC);
	for (unsigned i = 0; d->poll >= 0 && i < sizeof(from) / sizeof(*from); i++) {
		struct epoll_event ev = { .events = EPOLLIN };

		if (epoll_ctl(d->poll, EPOLL_CTL_ADD, from[i], &ev))
			return err_errno(e, -errno, "waiting for events");
	}
	return d->poll < 0 ? err_errno(e, -errno, "making an epoll descriptor") : 0;
}

int doctor_open(struct doctor **out, const struct doctor_setup *setup, doctor_line_fn *each,
		void *arg, struct err *e)
{
	struct doctor *d = calloc(1, sizeof(*d));
	int r;

	if (!d || ends_init(&d->ends)) {
		free(d);
		return err_set(e, -ENOMEM, "no memory for a watch");
	}
	d->poll = -1;
	d->next_again = UINT64_MAX;
	d->next_glance = setup->watch.rules.stacks ? 0 : UINT64_MAX;
	d->setup = *setup;
	d->each = each;
	d->arg = arg;
	d->stacks = stacks_new();
	r = d->stacks ? 0 : err_set(e, -ENOMEM, "no memory for stacks");
	if (!r)
		r = watch_open(&d->watch, &setup->watch, e);
	if (!r)
		r = make_poll(d, e);
	for (unsigned i = 0; !r && i < setup->pid_count; i++)
		r = watch_add_pid(d->watch, setup->pids[i], e);
	for (unsigned i = 0; !r && i < setup->pid_count && setup->watch.rules.stacks; i++)
		r = watch_suspect(d->watch, setup->pids[i], e);
	if (!r && !setup->skip_present)
		r = take_in(d, e);
	if (r) {
		doctor_close(d);
		return r;
	}
	*out = d;
	return 0;
}

void doctor_close(struct doctor *d)
{
	if (!d)
		return;
	fd_close(d->poll);
	watch_close(d->watch);
	stacks_free(d->stacks);
	ends_free(&d->ends);
	free(d->fresh);
	free(d->late);
	free(d->listeners);
	free(d);
}

int doctor_fd(const struct doctor *d)
{
	return d->poll;
}

static struct tw_losses losses(const struct doctor *d, const struct watch_counts *c)
{
	return (struct tw_losses){
		.events = c->lost[WATCH_REPORT] + c->lost[WATCH_NEWS] + c->lost[WATCH_END] +
			  c->lost[WATCH_LOOK],
		.stacks = c->lost[WATCH_STACK],
		.refused = c->stacks_refused,
		.untracked = c->untracked,
		.lags = c->lag_lost,
		.missed = watch_missed(d->watch),
		.forgotten = d->forgotten,
		.unkept = stacks_missing(d->stacks),
		.makings = c->made_lost + d->unsuspected,
		.children = c->children_lost,
		.listeners = c->ports_lost,
		.namespaces = d->unentered,
	};
}

struct tw_summary doctor_summary(const struct doctor *d)
{
	struct watch_counts c = watch_counts(d->watch);
	struct tw_summary s = {
		.reported = d->reported,
		.open = d->ends.count - d->ends.hidden,
		.tracked = watch_followed(d->watch),
		.losses = losses(d, &c),
	};

	for (int kind = 0; kind < WATCH_KINDS; kind++) {
		s.emitted += c.emitted[kind];
		s.received += d->received[kind];
	}
	return s;
}

struct watch *doctor_watch(const struct doctor *d)
{
	return d->watch;
}
