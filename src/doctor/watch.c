/* SPDX-License-Identifier: MIT */
#include "doctor/watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/vec.h"
#include "doctor/ends.h"
#include "doctor/stacks.h"
#include "kernel/netns.h"
#include "kernel/proc.h"
#include "tcp/state.h"

/* Longest wait between two turns: a fresh end comes due no sooner than this after it was queued,
 * or its time was known at the last turn. */
#define TURN_MS 50
/* Between two attempts to match ends that nobody who is watched held so far; and so many times as
 * long as the attempt takes, where that is more. */
#define MATCH_MS   250
#define MATCH_REST 20

struct listener {
	uint32_t netns;
	uint16_t port;
	struct tw_owner owner;
};

struct doctor {
	struct watch *watch;
	struct doctor_setup setup;
	doctor_line_fn *each;
	void *arg;
	struct ends ends;
	uint64_t reported, received[WATCH_KINDS], forgotten;
	struct watch_event *fresh; /* reported in this turn, owners not yet known; and their news */
	struct listener *listeners;
	uint32_t fresh_count, fresh_cap, listener_count, listener_cap;
	struct stacks *stacks;
	struct watch_found found; /* by the last turn */
	uint64_t next_match;
	struct tw_owner asked; /* whose container was asked for last, and what it is */
	char container[72];
	int32_t suspected; /* who was noted as a suspect last */
};

static struct tcp_addr address(uint8_t family, const uint8_t bytes[16], uint16_t port)
{
	struct tcp_addr a = { .family = family, .port = port };

	memcpy(a.bytes, bytes, family == AF_INET ? 4 : 16);
	return a;
}

static uint64_t since(uint64_t now, uint64_t then)
{
	return then && now > then ? now - then : 0;
}

/* The kernel's clock of sends ticks in jiffies; until their length is known nothing counts as
 * lately sent. */
static uint64_t ticks_ms(const struct doctor *d, uint32_t jiffies)
{
	return d->found.tick_ns ? jiffies * d->found.tick_ns / CLOCK_NS_PER_MS : UINT32_MAX;
}

static struct tcp_sample sample_of(const struct doctor *d, const struct open_end *end,
				   const struct watch_event *ev)
{
	bool dead = ev->conn.flags & WATCH_DEAD;

	return (struct tcp_sample){
		.local = address(end->family, end->local, end->local_port),
		.peer = address(end->family, end->peer, end->peer_port),
		.state = ev->state,
		.retransmits = ev->retransmits,
		.has_info = true,
		.error = (uint16_t)ev->conn.error,
		.recv_q = dead ? 0 : ev->unread,
		.send_q = dead ? 0 : ev->unacked,
		.inode = (uint32_t)ev->inode,
		.cookie = end->cookie,
		.netns = end->netns,
		.last_data_sent_ms = (uint32_t)ticks_ms(d, ev->sent_jiffies),
		.bytes_sent = ev->sent,
		.notsent_bytes = ev->unsent,
		.snd_wnd = ev->peer_window,
		.segs_in = dead ? 2 : 0, /* only what was connected can die */
	};
}

/* Still sending after the peer's FIN, or receiving after this end's: a half-close in use. */
static bool is_flowing(const struct doctor *d, const struct watch_event *ev)
{
	uint64_t quiet_ms = d->setup.watch.rules.after / 2 / CLOCK_NS_PER_MS;

	if (ev->state == TCPS_FIN_WAIT2)
		return ev->received > 0 && ticks_ms(d, ev->recv_jiffies) <= quiet_ms;
	return ev->state == TCPS_CLOSE_WAIT && ev->sent > 0 &&
	       (ev->unacked > 0 || ticks_ms(d, ev->sent_jiffies) <= quiet_ms);
}

static uint32_t processes(const struct open_end *end)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < end->owner_count && i < TW_MAX_OWNERS; i++) {
		const struct tw_owner *o = ends_owner(end, i);
		bool seen = false;

		for (uint32_t k = 0; o && k < i; k++)
			seen |= ends_owner(end, k) && ends_owner(end, k)->pid == o->pid;
		n += !seen;
	}
	return n;
}

static enum tcp_cause cause_of(const struct doctor *d, const struct open_end *end,
			       const struct watch_event *ev, const struct tcp_sample *sample)
{
	bool flowing = is_flowing(d, ev);
	struct tcp_context context = {
		.processes = processes(end),
		.all_seen = true,
		/* Where several hold it, one that was told may have done its part. */
		.told = ev->conn.flags & WATCH_TOLD && !flowing && processes(end) < 2,
		.flowing = flowing,
	};

	return tcp_verdict(sample, &context).cause;
}

static int64_t wall_offset(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * CLOCK_NS_PER_S + ts.tv_nsec - clock_mono_ns();
}

static void on_stack(const struct watch_stack *stack, void *arg)
{
	struct doctor *d = arg;

	d->received[WATCH_STACK]++;
	stacks_keep(d->stacks, stack);
}

static void find_stacks(struct doctor *d, const struct watch_conn *c, struct tw_line *line)
{
	struct err unused;

	if (line->what == TW_CLOSED || line->what == TW_OVER)
		return;
	if (watch_stacks(d->watch, on_stack, d, &unused))
		return;
	line->told_stack = stacks_read(d->stacks, c->told_site);
	line->made_stack = stacks_read(d->stacks, c->made_site);
}

static void say(struct doctor *d, const struct open_end *end, const struct watch_event *ev,
		enum tw_what what)
{
	const struct watch_conn *c = &ev->conn;
	struct tw_line line = {
		.what = what,
		.sample = sample_of(d, end, ev),
		.wall_ns = (int64_t)ev->at + wall_offset(),
		.age_ns = since(ev->at, c->since),
		.at_least = c->flags & WATCH_TAKEN_IN && !(c->flags & WATCH_DEAD),
		.holder = c->flags & WATCH_HOLDER,
		.dead = c->flags & WATCH_DEAD,
		.accepted = ev->accepted,
		.waiting = end->waiting,
		.told = c->flags & WATCH_TOLD,
		.told_ns = since(ev->at, c->told_at),
		.told_pid = (int32_t)c->told_tgid,
		.told_tid = (int32_t)c->told_tid,
		.closed = c->flags & WATCH_HOLDER && c->flags & WATCH_CLOSED,
		.by_exit = c->flags & WATCH_EXITING,
		.owner_count = end->owner_count,
		.cgroup = end->cgroup,
	};

	line.cause = cause_of(d, end, ev, &line.sample);
	if (line.closed)
		line.lag_ns = since(c->close_at, c->fin_at);
	find_stacks(d, c, &line);
	memcpy(line.told_comm, c->told_comm, sizeof(line.told_comm));
	for (uint32_t i = 0; i < end->owner_count && i < TW_MAX_OWNERS; i++)
		if (ends_owner(end, i))
			line.owners[i] = *ends_owner(end, i);
	if (end->container)
		snprintf(line.container, sizeof(line.container), "%s", end->container);
	d->each(&line, d->arg);
}

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
	d->reported++;
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
}

/* Reports wait for their owners, so what follows on one waits too. */
static bool still_fresh(const struct doctor *d, const struct watch_event *ev)
{
	for (uint32_t i = d->fresh_count; i-- > 0;)
		if (d->fresh[i].sk == ev->sk && d->fresh[i].conn.began == ev->conn.began)
			return true;
	return false;
}

static void follow_up(struct doctor *d, const struct watch_event *ev)
{
	struct open_end *end = ends_find(&d->ends, ev->sk);

	if (!end || end->began != ev->conn.began)
		return;
	if (ev->kind == WATCH_NEWS) {
		say(d, end, ev, news(ev->conn.flags, end->flags));
		end->flags = ev->conn.flags;
	} else if (ev->kind == WATCH_END) {
		say(d, end, ev, TW_OVER);
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
		suspect(d, end);
		say(d, end, ev, TW_HALF_CLOSED);
	}
}

static int find_owners(struct doctor *d, bool take_in, struct err *e)
{
	d->listener_count = 0;
	return watch_owners(d->watch, take_in, on_owner, d, e);
}

/* Where only some processes are watched, what came due is matched with their descriptors, at once
 * and again while some are unmatched: a connection may be accepted, or a descriptor passed, later.
 */
static int match_owners(struct doctor *d, struct err *e)
{
	uint64_t now = (uint64_t)clock_mono_ns(), took;
	int r;

	if (!d->found.due && (!d->found.wanted || now < d->next_match))
		return 0;
	r = find_owners(d, false, e);
	took = (uint64_t)clock_mono_ns() - now;
	d->next_match = now + MATCH_MS * CLOCK_NS_PER_MS + MATCH_REST * took;
	return r ? r : watch_turn(d->watch, true, on_event, d, &d->found, e);
}

static int wait_for(const struct doctor *d)
{
	uint64_t now = (uint64_t)clock_mono_ns(), next = d->found.next;

	if (d->found.more)
		return 0;
	if (!next || next > now + TURN_MS * CLOCK_NS_PER_MS)
		return TURN_MS;
	return next > now ? (int)((next - now) / CLOCK_NS_PER_MS) + 1 : 1;
}

int doctor_turn(struct doctor *d, int *wait_ms, struct err *e)
{
	int r = watch_stacks(d->watch, on_stack, d, e);
	bool idle;

	if (!r)
		r = watch_turn(d->watch, false, on_event, d, &d->found, e);
	if (!r && d->setup.watch.rules.by_owner)
		r = match_owners(d, e);
	if (!r && d->fresh_count)
		r = find_owners(d, false, e);
	if (r)
		return r;
	idle = !d->fresh_count;
	say_fresh(d);
	*wait_ms = wait_for(d);
	if (idle && *wait_ms > 1 &&
	    stacks_read_ahead(d->stacks,
			      (uint64_t)clock_mono_ns() - d->setup.watch.rules.after / 2))
		*wait_ms = 0;
	return 0;
}

int doctor_finish(struct doctor *d, struct err *e)
{
	int r;

	watch_detach(d->watch);
	r = watch_drain(d->watch, on_event, d, e);
	if (!r)
		r = watch_stacks(d->watch, on_stack, d, e);
	say_fresh(d); /* whose owners can no longer be asked for */
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
		.forgotten = d->forgotten,
	};
}

struct tw_summary doctor_summary(const struct doctor *d)
{
	struct watch_counts c = watch_counts(d->watch);
	struct tw_summary s = {
		.reported = d->reported,
		.open = d->ends.count,
		.tracked = c.started,
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
