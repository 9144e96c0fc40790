/* SPDX-License-Identifier: MIT */
#include "doctor/watch.h"

#include <errno.h>
#include <linux/capability.h>
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
#include "kernel/watch_refused.h"
#include "tcp/state.h"

/* Longest wait between two turns. */
#define TURN_MS 60000
/* Least time between two searches for what has come due, and so many times as long as one takes,
 * where that is more, but no longer than the last. What comes due meanwhile is said so much
 * later. */
#define SEARCH_MS   10
#define SEARCH_REST 20
#define REST_MS     50
/* The same between two walks for what was missed: so many times as long as one takes, but no longer
 * than this. */
#define MISSED_REST 8
#define MISSED_MS   4000
/* Between two walks that look whether all that is half-closed is followed, and so many times as
 * long as one takes, where that is more. */
#define AUDIT_NS   (20 * CLOCK_NS_PER_S)
#define AUDIT_REST 500
/* At most so often in a turn owners are looked for again, since others were matched meanwhile. */
#define OWNER_LOOKS 3
/* What fails for lack of memory is tried again after this time, and for so long. */
#define RETRY_NS   (50 * CLOCK_NS_PER_MS)
#define GIVE_UP_NS (60 * CLOCK_NS_PER_S)
/* Ends that are looked at again at a time: the smallest buffer holds their events. */
#define LOOKS_AT_ONCE 8
/* An end's stacks are read ahead, which takes a tenth of a second for the first of a program, once
 * most have closed: where a glance finds it older than half of this part of the threshold. There
 * are so many glances in the time of one. Where that leaves less than this time for it, the stacks
 * of all that a glance finds are read. */
#define READ_AHEAD 8
#define READ_NS    (800 * CLOCK_NS_PER_MS)

/* Of what was tried: 0 where it has failed, but is to be tried again. What was to be found
 * meanwhile may be gone by then, so each time that it begins to fail counts. */
static int bear(struct doctor *d, enum doctor_try what, int r)
{
	uint64_t now = (uint64_t)clock_mono_ns();

	if (r != -ENOMEM && r != -EAGAIN) {
		d->failing_since[what] = 0;
		return r;
	}
	if (!d->failing_since[what]) {
		d->failing_since[what] = now;
		d->forgotten++;
	}
	return now - d->failing_since[what] < GIVE_UP_NS ? 0 : r;
}

static int remember_fresh(struct doctor *d, const struct watch_event *ev)
{
	if (vec_reserve(&d->fresh, &d->fresh_cap, d->fresh_count + 1, sizeof(*d->fresh)))
		return -ENOMEM;
	d->fresh[d->fresh_count++] = *ev;
	return 0;
}

static void say_fresh_one(struct doctor *d, const struct watch_event *ev);

/* Another end has this one's address: so this one is gone. What waits of it is said before that
 * takes its place. */
static void make_way(struct doctor *d, const struct open_end *end)
{
	uint64_t sk = end->sk, began = end->began;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < d->fresh_count; i++) {
		const struct watch_event ev = d->fresh[i];

		if (ev.sk == sk && ev.conn.began == began)
			say_fresh_one(d, &ev);
		else
			d->fresh[kept++] = ev;
	}
	d->fresh_count = kept;
	watch_say_now(d, sk, began);
}

static void on_report(struct doctor *d, const struct watch_event *ev)
{
	/* A walk over all that matches owners gives them, but for those that it passed before; and
	 * but for reports that come only after it, behind another that took its time. */
	bool unseen = !d->setup.watch.rules.by_owner || !d->matching_all ||
		      ev->conn.flags & WATCH_OTHERS;
	struct open_end *end = ends_find(&d->ends, ev->sk);

	if (end)
		make_way(d, end);
	end = ends_insert(&d->ends, ev->sk);
	if (end && remember_fresh(d, ev)) {
		ends_remove(&d->ends, end);
		end = NULL;
	}
	if (!end) {
		d->forgotten++;
		return;
	}
	d->owners_unseen |= unseen;
	end->unsought = unseen;
	end->began = ev->conn.began;
	end->cookie = ev->cookie;
	end->cgroup = ev->cgroup;
	end->netns = ev->netns;
	end->first_fin = ev->first_fin;
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

static bool asks_for_owners(struct doctor *d, const struct watch_event *ev)
{
	if (watch_was_accepted(d, ev))
		return true;
	return (!d->fresh_count || !still_fresh(d, ev)) && watch_renews_owners(d, ev);
}

int watch_on_event(const struct watch_event *ev, void *arg)
{
	struct doctor *d = arg;

	if (ev->kind >= WATCH_KINDS)
		return 0;
	d->received[ev->kind]++;
	if (ev->kind == WATCH_REPORT)
		on_report(d, ev);
	else if (asks_for_owners(d, ev) && !remember_fresh(d, ev))
		d->owners_unseen = true;
	else if (!d->fresh_count || !still_fresh(d, ev))
		watch_follow_up(d, ev);
	else if (remember_fresh(d, ev))
		d->forgotten++;
	return 0;
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

static void say_fresh_one(struct doctor *d, const struct watch_event *ev)
{
	struct open_end *end = ends_find(&d->ends, ev->sk);

	if (!end || end->began != ev->conn.began)
		return;
	if (watch_was_accepted(d, ev))
		end->waiting = false;
	find_container(d, end);
	if (ev->kind == WATCH_REPORT) {
		end->waiting = watch_is_waiting(ev);
		watch_due(d, end, ev);
	} else {
		watch_follow_up(d, ev);
	}
}

static void say_fresh(struct doctor *d)
{
	uint32_t n = d->fresh_count;

	d->fresh_count = 0;
	for (uint32_t i = 0; i < n; i++)
		say_fresh_one(d, &d->fresh[i]);
	if (!d->fresh_count)
		vec_rest(&d->fresh, &d->fresh_cap, WATCH_AT_REST);
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
	int r = watch_glance(d->watch, ahead_age(d), watch_on_event, d, &d->found, e);

	d->next_glance = (uint64_t)clock_mono_ns() + glance_interval(d);
	if (r)
		return r;
	if (d->found.more)
		d->next_search = d->searched;
	d->unmatched |= d->found.due > 0;
	watch_marked(d->watch, read_ahead, d);
	return r;
}

static int search(struct doctor *d, struct err *e)
{
	uint64_t begun = (uint64_t)clock_mono_ns(), rest;
	int r = watch_turn(d->watch, watch_on_event, d, &d->found, e);

	rest = ((uint64_t)clock_mono_ns() - begun) * SEARCH_REST;
	if (rest < SEARCH_MS * CLOCK_NS_PER_MS)
		rest = SEARCH_MS * CLOCK_NS_PER_MS;
	if (rest > REST_MS * CLOCK_NS_PER_MS)
		rest = REST_MS * CLOCK_NS_PER_MS;
	d->searched = begun;
	d->rested = begun + rest;
	if (r) {
		d->next_search = begun + RETRY_NS;
		return r;
	}
	d->next_search = d->found.next > d->rested ? d->found.next : d->rested;
	if (d->found.more)
		d->next_search = begun;
	else
		d->searched_all = begun;
	d->unmatched |= d->found.due > 0;
	return r;
}

/* The ends that it finds are reported when they come due. */
static void pass_over(const struct watch_owner *owner, void *arg)
{
}

static int take_in_here(void *arg, struct err *e)
{
	return watch_take_in(arg, e);
}

static bool may_see_processes(void)
{
	return watch_rights().effective >> CAP_SYS_PTRACE & 1;
}

/* What was half-closed before: by descriptor in all namespaces, then what has none, namespace by
 * namespace. One that is gone meanwhile is passed over; one that may not be entered is counted, and
 * so are all together whose processes may not be looked at for lack of a capability. */
static int take_in(struct doctor *d, uint64_t *unentered, struct err *e)
{
	struct netns_list list = { 0 };
	int r = watch_owners(d->watch, true, pass_over, NULL, e);

	if (!r)
		r = watch_take_in(d->watch, e);
	if (!r)
		r = netns_list(&list, e);
	*unentered += !r && list.unseen && !may_see_processes();
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
			(*unentered)++;
		}
	}
	netns_list_free(&list);
	return r;
}

/* With --new it cannot be told what was there before. */
static bool audit_is_due(const struct doctor *d, uint64_t now)
{
	return !d->setup.skip_present && now >= d->next_audit;
}

/* Where the kernel has missed changes of state, some may have begun what nobody follows now: it is
 * taken in as what was there at the start is. Where that fails, for lack of memory, say, it is
 * tried again: what was missed counts as lost anyway. And from time to time where nothing was
 * missed: what is found then counts as missed, too, so that the report does not say more than is
 * known. */
static int take_in_missed(struct doctor *d, struct err *e)
{
	uint64_t begun = (uint64_t)clock_mono_ns(), missed, unused, took, rest;
	bool is_audit;
	int r = 0;

	if (begun < d->next_missed)
		return 0;
	missed = watch_missed_changes(d->watch);
	is_audit = missed == d->missed;
	if (!is_audit || audit_is_due(d, begun)) {
		watch_audits(d->watch, is_audit);
		r = take_in(d, &unused, e);
		watch_audits(d->watch, false);
		if (r != -ENOTRECOVERABLE) {
			d->missed = r ? d->missed : missed;
			r = 0;
		}
		took = (uint64_t)clock_mono_ns() - begun;
		d->next_audit = begun +
				(took * AUDIT_REST > AUDIT_NS ? took * AUDIT_REST : AUDIT_NS);
	}
	rest = ((uint64_t)clock_mono_ns() - begun) * MISSED_REST;
	if (rest > MISSED_MS * CLOCK_NS_PER_MS)
		rest = MISSED_MS * CLOCK_NS_PER_MS;
	d->next_missed = (uint64_t)clock_mono_ns() +
			 (rest > glance_interval(d) ? rest : glance_interval(d));
	return r;
}

/* Of those that may have changed, what they are now. */
static int look_again(struct doctor *d, struct err *e)
{
	uint64_t now = (uint64_t)clock_mono_ns(), rest = d->setup.watch.rules.after;
	uint32_t asked = 0;
	int r = 0;

	d->next_again = UINT64_MAX;
	for (uint32_t i = 0; !r && i < d->ends.used; i++) {
		const struct open_end *end = &d->ends.v[i];

		if (!end->sk || !end->again)
			continue;
		r = watch_look(d->watch, end->sk, end->began, e);
		if (!r && ++asked % LOOKS_AT_ONCE == 0)
			r = watch_drain(d->watch, watch_on_event, d, e);
	}
	if (!r && asked)
		r = watch_drain(d->watch, watch_on_event, d, e);
	if (rest < SEARCH_MS * CLOCK_NS_PER_MS)
		rest = SEARCH_MS * CLOCK_NS_PER_MS;
	if (r)
		rest = RETRY_NS;
	if ((asked || r) && now + rest < d->next_again)
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
	if (d->next_missed < next)
		next = d->next_missed;
	if (d->setup.watch.rules.by_owner && watch_next_matching(d) < next)
		next = watch_next_matching(d);
	if (d->owners_unseen && d->next_owners < next)
		next = d->next_owners;
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
	r = take_in_missed(d, e);
	if (r)
		return r;
	if ((uint64_t)clock_mono_ns() >= next_search(d))
		r = bear(d, TRY_SEARCH, search(d, e));
	else if ((uint64_t)clock_mono_ns() >= d->next_glance)
		r = bear(d, TRY_SEARCH, glance(d, e));
	else
		r = bear(d, TRY_DRAIN, watch_drain(d->watch, watch_on_event, d, e));
	if (!r && (uint64_t)clock_mono_ns() >= d->next_again)
		r = bear(d, TRY_LOOK, look_again(d, e));
	if (!r && d->setup.watch.rules.by_owner &&
	    (uint64_t)clock_mono_ns() >= watch_next_matching(d))
		r = bear(d, TRY_MATCH, watch_match_owners(d, e));
	return r;
}

/* A look at some processes may match ends that others hold, too. Where it fails, what is fresh
 * waits for the next. */
static int find_owners(struct doctor *d, bool *found, struct err *e)
{
	int r = 0;

	*found = true;
	if (d->owners_unseen && (uint64_t)clock_mono_ns() < d->next_owners) {
		*found = false;
		return 0;
	}
	for (int i = 0; !r && d->owners_unseen && i < OWNER_LOOKS; i++)
		r = watch_find_fresh_owners(d, e);
	if (r) {
		*found = false;
		d->owners_unseen = true;
		d->next_owners = (uint64_t)clock_mono_ns() + RETRY_NS;
	}
	return bear(d, TRY_OWNERS, r);
}

int doctor_turn(struct doctor *d, int *wait_ms, struct err *e)
{
	bool found;
	int r = look(d, e);

	if (!r)
		r = find_owners(d, &found, e);
	if (r)
		return r;
	if (found)
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
	r = watch_drain(d->watch, watch_on_event, d, e);
	if (!r)
		r = watch_stacks(d->watch, watch_keep_stack, d, e);
	say_fresh(d); /* whose owners can no longer be asked for */
	watch_say_late(d, true);
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
	d->next_audit = (uint64_t)clock_mono_ns() + AUDIT_NS;
	d->next_glance = setup->watch.rules.stacks ? 0 : UINT64_MAX;
	d->setup = *setup;
	d->netns = netns_own();
	d->each = each;
	d->arg = arg;
	r = watch_open(&d->watch, &setup->watch, e);
	if (!r) {
		d->stacks = stacks_new();
		r = d->stacks ? 0 : err_set(e, -ENOMEM, "no memory for stacks");
	}
	if (!r)
		r = make_poll(d, e);
	for (unsigned i = 0; !r && i < setup->pid_count; i++)
		r = watch_add_pid(d->watch, setup->pids[i], e);
	for (unsigned i = 0; !r && i < setup->pid_count && setup->watch.rules.stacks; i++)
		r = watch_suspect(d->watch, setup->pids[i], e);
	if (!r && !setup->skip_present)
		r = take_in(d, &d->unentered, e);
	if (!r && setup->skip_present)
		watch_take_in_since(d->watch, (uint64_t)clock_mono_ns());
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
	free(d->listening);
	free(d->late);
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
		.missed = watch_missed(d->watch) + c->unheard,
		.forgotten = d->forgotten,
		.unkept = stacks_missing(d->stacks),
		.makings = c->made_lost + d->unsuspected,
		.children = c->children_lost,
		.listeners = c->queues_cut,
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
