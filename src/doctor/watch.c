/* SPDX-License-Identifier: MIT */
#include "doctor/watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/vec.h"
#include "doctor/watch_state.h"
#include "kernel/netns.h"
#include "kernel/proc.h"
#include "tcp/state.h"

/* Longest wait between two turns: the buffer for stacks must not run full meanwhile. */
#define TURN_MS 50
/* Least time between two searches for what has come due, and so many times as long as one takes,
 * where that is more, but no longer than a turn. What comes due meanwhile is said so much
 * later. */
#define SEARCH_MS   10
#define SEARCH_REST 20
/* Where files are read for a stack that may be asked for, it is done after this part of the
 * threshold: most connections have closed by then. */
#define READ_AHEAD 8
#define READ_MS \
	100 /* that it takes at most, nearly always; with a short threshold it is not done */
/* Between two attempts to match ends that nobody who is watched held so far; and so many times as
 * long as the attempt takes, where that is more. */
#define MATCH_MS   250
#define MATCH_REST 20
/* A report of the end that closed first waits so long for that of the other end, which comes due as
 * much later as the FIN took; and so many may wait at a time. */
#define PARTNER_NS (20 * CLOCK_NS_PER_MS)
#define MOST_LATE  8192

static int remember_fresh(struct doctor *d, const struct watch_event *ev)
{
	if (vec_reserve(&d->fresh, &d->fresh_cap, d->fresh_count + 1, sizeof(*d->fresh)))
		return -ENOMEM;
	d->fresh[d->fresh_count++] = *ev;
	return 0;
}

static enum tw_what news(uint32_t flags, uint32_t before)
{
	uint32_t fresh = flags & ~before;

	if (fresh & WATCH_DEAD)
		return TW_DEAD;
	return fresh & WATCH_TOLD ? TW_TOLD : TW_CLOSED;
}

static void on_report(struct doctor *d, const struct watch_event *ev)
{
	struct open_end *end = ends_insert(&d->ends, ev->sk);

	if (!end || remember_fresh(d, ev)) {
		d->forgotten++;
		return;
	}
	/* A walk that matches owners gives them, but for those that it passed before. */
	d->owners_unseen |= !d->setup.watch.rules.by_owner || ev->conn.flags & WATCH_OTHERS;
	end->began = ev->conn.began;
	end->cookie = ev->cookie;
	end->cgroup = ev->cgroup;
	end->netns = ev->netns;
	end->family = ev->family;
	end->local_port = ev->local_port;
	end->peer_port = ev->peer_port;
	end->flags = ev->conn.flags;
	memcpy(end->local, ev->local, sizeof(end->local));
	memcpy(end->peer, ev->peer, sizeof(end->peer));
	end->state = ev->state;
	ends_pair(&d->ends, end);
}

/* Where its next sockets come from is worth knowing. That it cannot be had is no reason to stop. */
static void suspect(struct doctor *d, const struct open_end *end)
{
	struct err unused;

	if (!d->setup.watch.rules.stacks)
		return;
	for (uint32_t i = 0; i < end->owner_count && i < TW_MAX_OWNERS; i++)
		if (ends_owner(end, i) && watch_suspect(d->watch, ends_owner(end, i)->pid, &unused))
			return;
}

static void say_report(struct doctor *d, struct open_end *end, const struct watch_event *ev)
{
	d->hidden -= end->hidden;
	end->hidden = end->late = false;
	end->said = true;
	d->reported++;
	watch_say(d, end, ev, TW_HALF_CLOSED);
	suspect(d, end);
}

/* Without room it is said at once. */
static void say_later(struct doctor *d, struct open_end *end, const struct watch_event *ev,
		      uint64_t due)
{
	if (d->late_count == MOST_LATE ||
	    vec_reserve(&d->late, &d->late_cap, d->late_count + 1, sizeof(*d->late))) {
		say_report(d, end, ev);
		return;
	}
	d->late[d->late_count++] = (struct late){ due, *ev };
	end->late = true;
}

/* One line for a connection whose ends are both here: that of the end that holds it. */
static void hide(struct doctor *d, struct open_end *end)
{
	d->hidden += !end->hidden;
	end->hidden = true;
	end->late = false;
}

static bool closed_first(uint32_t flags)
{
	return !(flags & (WATCH_HOLDER | WATCH_DEAD));
}

/* Whether the partner's line is, or will be, there to stand for both. */
static bool is_spoken_for(const struct doctor *d, const struct open_end *end)
{
	const struct open_end *other = ends_partner(&d->ends, end);

	return other && other->flags & WATCH_HOLDER;
}

static void on_due(struct doctor *d, struct open_end *end, const struct watch_event *ev)
{
	struct open_end *other;

	if (end->hidden)
		return;
	if (closed_first(ev->conn.flags)) {
		if (is_spoken_for(d, end))
			hide(d, end);
		else
			say_later(d, end, ev, (uint64_t)clock_mono_ns() + PARTNER_NS);
		return;
	}
	other = ends_partner(&d->ends, end);
	if (other && !other->said && closed_first(other->flags))
		hide(d, other);
	say_report(d, end, ev);
}

/* What waits is said when it is due, or now, where nobody has spoken for it meanwhile. */
static void say_late(struct doctor *d, bool all)
{
	uint64_t now = (uint64_t)clock_mono_ns();
	uint32_t kept = 0;

	for (uint32_t i = 0; i < d->late_count; i++) {
		struct watch_event *ev = &d->late[i].event;
		struct open_end *end = ends_find(&d->ends, ev->sk);

		if (!end || end->began != ev->conn.began || !end->late)
			continue;
		if (d->late[i].due > now && (!all || end->hidden)) {
			d->late[kept++] = d->late[i];
			continue;
		}
		ev->at = now;
		say_report(d, end, ev);
	}
	d->late_count = kept;
}

/* Reports wait for their owners, so what follows on one waits too. */
static bool still_fresh(const struct doctor *d, const struct watch_event *ev)
{
	for (uint32_t i = d->fresh_count; i-- > 0;)
		if (d->fresh[i].sk == ev->sk && d->fresh[i].conn.began == ev->conn.began)
			return true;
	return false;
}

/* The other end is over, and this one was not closed yet: that is said if it stays so. */
static void on_hidden_news(struct doctor *d, struct open_end *end, const struct watch_event *ev)
{
	end->flags = ev->conn.flags;
	if (!end->late && ev->conn.flags & WATCH_DEAD)
		say_later(d, end, ev, ev->at + d->setup.watch.rules.after);
}

/* What happens to an end that waits to be said comes after that. */
static void hurry(struct doctor *d, struct open_end *end)
{
	for (uint32_t i = d->late_count; !end->hidden && end->late && i-- > 0;)
		if (d->late[i].event.sk == end->sk && d->late[i].event.conn.began == end->began)
			say_report(d, end, &d->late[i].event);
}

static void follow_up(struct doctor *d, const struct watch_event *ev)
{
	struct open_end *end = ends_find(&d->ends, ev->sk);

	if (!end || end->began != ev->conn.began)
		return;
	hurry(d, end);
	if (ev->kind == WATCH_NEWS && end->hidden) {
		on_hidden_news(d, end, ev);
	} else if (ev->kind == WATCH_NEWS) {
		watch_say(d, end, ev, news(ev->conn.flags, end->flags));
		end->flags = ev->conn.flags;
	} else if (ev->kind == WATCH_END) {
		if (end->hidden)
			d->hidden--;
		else
			watch_say(d, end, ev, TW_OVER);
		ends_remove(&d->ends, end);
	}
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
		follow_up(d, ev);
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
	ends_add_owner(end, &owner);
}

/* An end that waits to be accepted has no descriptor: its listener's owner stands in. */
static void borrow_listener(struct doctor *d, struct open_end *end)
{
	for (uint32_t i = 0; i < d->listener_count; i++) {
		const struct listener *l = &d->listeners[i];

		if (l->port == end->local_port && l->netns == end->netns)
			ends_add_owner(end, &l->owner);
	}
}

/* Asked while the process is there, kept for later lines. One process often has many ends. */
static void find_container(struct doctor *d, struct open_end *end)
{
	struct proc_info info;

	if (!end->owner_count)
		return;
	if (d->asked.pid != end->first.pid || d->asked.start_ns != end->first.start_ns) {
		d->asked = end->first;
		d->container[0] = '\0';
		if (proc_read((uint32_t)end->first.pid, &info))
			return;
		if (info.cgroup)
			proc_container_id(info.cgroup, d->container, sizeof(d->container));
		free(info.cgroup);
	}
	if (d->container[0])
		end->container = strdup(d->container);
}

static void say_fresh(struct doctor *d)
{
	uint32_t n = d->fresh_count;

	d->fresh_count = 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct watch_event *ev = &d->fresh[i];
		struct open_end *end = ends_find(&d->ends, ev->sk);

		if (ev->kind != WATCH_REPORT) {
			follow_up(d, ev);
			continue;
		}
		if (!end || end->began != ev->conn.began)
			continue;
		end->waiting = !ev->inode && ev->state == TCPS_CLOSE_WAIT;
		if (end->waiting)
			borrow_listener(d, end);
		find_container(d, end);
		on_due(d, end, ev);
	}
}

static int find_owners(struct doctor *d, bool take_in, struct err *e)
{
	d->listener_count = 0;
	d->owners_unseen = false;
	return watch_owners(d->watch, take_in, on_owner, d, e);
}

static int search(struct doctor *d, bool match, struct err *e)
{
	uint64_t begun = (uint64_t)clock_mono_ns(), rest;
	int r = watch_turn(d->watch, match, on_event, d, &d->found, e);

	rest = ((uint64_t)clock_mono_ns() - begun) * SEARCH_REST;
	if (rest < SEARCH_MS * CLOCK_NS_PER_MS)
		rest = SEARCH_MS * CLOCK_NS_PER_MS;
	if (rest > TURN_MS * CLOCK_NS_PER_MS)
		rest = TURN_MS * CLOCK_NS_PER_MS;
	d->next_search = d->found.next > begun + rest ? d->found.next : begun + rest;
	if (d->found.more)
		d->next_search = begun;
	d->unmatched |= d->found.due > 0;
	return r;
}

/* Those of which owners may be missing have them counted anew. */
static int find_all_owners(struct doctor *d, struct err *e)
{
	for (uint32_t i = 0; i < d->fresh_count; i++) {
		struct open_end *end = ends_find(&d->ends, d->fresh[i].sk);

		if (end && d->fresh[i].kind == WATCH_REPORT)
			end->owner_count = 0;
	}
	return find_owners(d, false, e);
}

/* Where only some processes are watched, what came due is matched with their descriptors: at once,
 * but so that as much time goes into other things; and again while some are unmatched, since a
 * connection may be accepted, or a descriptor passed, later. */
static int match_owners(struct doctor *d, struct err *e)
{
	uint64_t now = (uint64_t)clock_mono_ns(), took;
	int r;

	if (d->unmatched ? now < d->next_walk : !d->found.wanted || now < d->next_match)
		return 0;
	d->unmatched = false; /* but for what comes due during the walk */
	r = find_owners(d, false, e);
	took = (uint64_t)clock_mono_ns() - now;
	d->next_walk = now + 2 * took;
	d->next_match = now + MATCH_MS * CLOCK_NS_PER_MS + MATCH_REST * took;
	return r ? r : search(d, true, e);
}

static int wait_for(const struct doctor *d)
{
	uint64_t now = (uint64_t)clock_mono_ns(), next = d->next_search;

	for (uint32_t i = 0; i < d->late_count; i++)
		if (d->late[i].due < next)
			next = d->late[i].due;
	if (d->unmatched && d->setup.watch.rules.by_owner && d->next_walk < next)
		next = d->next_walk;
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
	if ((uint64_t)clock_mono_ns() >= d->next_search)
		r = search(d, false, e);
	else
		r = watch_drain(d->watch, on_event, d, e);
	if (!r && d->setup.watch.rules.by_owner)
		r = match_owners(d, e);
	return r;
}

/* Nothing comes due while files are read for a stack. */
static bool has_time(const struct doctor *d)
{
	return d->next_search > (uint64_t)clock_mono_ns() + READ_MS * CLOCK_NS_PER_MS;
}

int doctor_turn(struct doctor *d, int *wait_ms, struct err *e)
{
	int r = look(d, e);
	bool idle;

	if (!r && d->owners_unseen)
		r = find_all_owners(d, e);
	if (r)
		return r;
	idle = !d->fresh_count;
	say_fresh(d);
	say_late(d, false);
	*wait_ms = wait_for(d);
	if (idle && has_time(d) &&
	    stacks_read_ahead(d->stacks,
			      (uint64_t)clock_mono_ns() - d->setup.watch.rules.after / READ_AHEAD))
		*wait_ms = 0;
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
	say_late(d, true);
	return r;
}

static int take_in_here(void *arg, struct err *e)
{
	return watch_take_in(arg, e);
}

/* What was half-closed before: by descriptor in all namespaces, then what has none, namespace by
 * namespace. One that is gone meanwhile, or may not be entered, is passed over. */
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

		if (netns_run(&list.v[i], take_in_here, d->watch, &unused) == -ENOTRECOVERABLE)
			r = err_set(e, -ENOTRECOVERABLE, "%s", unused.text);
	}
	netns_list_free(&list);
	return r;
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
	d->setup = *setup;
	d->each = each;
	d->arg = arg;
	d->stacks = stacks_new();
	r = d->stacks ? 0 : err_set(e, -ENOMEM, "no memory for stacks");
	if (!r)
		r = watch_open(&d->watch, &setup->watch, e);
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
	return watch_fd(d->watch);
}

static struct tw_losses losses(const struct doctor *d, const struct watch_counts *c)
{
	return (struct tw_losses){
		.events = c->lost[WATCH_REPORT] + c->lost[WATCH_NEWS] + c->lost[WATCH_END],
		.stacks = c->lost[WATCH_STACK],
		.refused = c->stacks_refused,
		.untracked = c->untracked,
		.lags = c->lag_lost,
		.missed = watch_missed(d->watch),
		.forgotten = d->forgotten,
	};
}

struct tw_summary doctor_summary(const struct doctor *d)
{
	struct watch_counts c = watch_counts(d->watch);
	struct tw_summary s = {
		.reported = d->reported,
		.open = d->ends.count - d->hidden,
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
