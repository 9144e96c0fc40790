/* SPDX-License-Identifier: MIT */
#include "doctor/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "doctor/ends.h"
#include "tcp/state.h"

/* Longest wait between two turns: a fresh end comes due no sooner than this after it was queued,
 * or its time was known at the last turn. */
#define TURN_MS 50

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
	uint64_t *fresh; /* reported in this turn, owner not yet known */
	unsigned fresh_count, fresh_cap;
	struct listener *listeners;
	unsigned listener_count, listener_cap;
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

static struct tw_facts facts_of(const struct open_end *end)
{
	const struct watch_event *ev = &end->last;
	uint32_t flags = ev->conn.flags;

	return (struct tw_facts){
		.state = ev->state,
		.holder = flags & WATCH_HOLDER,
		.dead = flags & WATCH_DEAD,
		.told = flags & WATCH_TOLD,
		.has_socket = ev->has_socket,
		.reads_seen = !(flags & WATCH_TAKEN_IN),
		.owners = end->owner_count,
		.unread = ev->unread,
		.unacked = ev->unacked,
		.sent = ev->sent,
		.sent_ns = ev->sent_jiffies * 4000000ULL,
		.peer_window = ev->peer_window,
		.retransmits = ev->retransmits,
	};
}

static int64_t wall_offset(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * CLOCK_NS_PER_S + ts.tv_nsec - clock_mono_ns();
}

static void say(struct doctor *d, const struct open_end *end, enum tw_what what)
{
	const struct watch_event *ev = &end->last;
	const struct watch_conn *c = &ev->conn;
	struct tw_line line = {
		.what = what,
		.facts = facts_of(end),
		.local = address(c->family, c->local, c->local_port),
		.peer = address(c->family, c->peer, c->peer_port),
		.wall_ns = (int64_t)ev->at + wall_offset(),
		.age_ns = since(ev->at, c->since),
		.at_least = c->flags & WATCH_TAKEN_IN,
		.accepted = ev->accepted,
		.told_ns = since(ev->at, c->told_at),
		.told_pid = (int32_t)c->told_tgid,
		.told_tid = (int32_t)c->told_tid,
		.by_exit = c->flags & WATCH_EXITING,
		.error = c->error,
		.owner_count = end->owner_count,
		.cookie = c->cookie,
		.inode = end->inode,
		.cgroup = c->cgroup,
		.netns = c->netns,
	};

	if (c->flags & WATCH_HOLDER && c->close_at)
		line.lag_ns = since(c->close_at, c->fin_at);
	line.cause = tw_cause(&line.facts, d->setup.watch.rules.after);
	memcpy(line.told_comm, c->told_comm, sizeof(line.told_comm));
	memcpy(line.owners, end->owners, sizeof(line.owners));
	d->each(&line, d->arg);
}

static int remember_fresh(struct doctor *d, uint64_t sk)
{
	if (d->fresh_count == d->fresh_cap) {
		unsigned cap = d->fresh_cap ? d->fresh_cap * 2 : 64;
		uint64_t *more = realloc(d->fresh, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		d->fresh = more;
		d->fresh_cap = cap;
	}
	d->fresh[d->fresh_count++] = sk;
	return 0;
}

static enum tw_what news(const struct watch_event *ev, const struct watch_event *last)
{
	uint32_t fresh = ev->conn.flags & ~last->conn.flags;

	if (fresh & WATCH_DEAD)
		return TW_DEAD;
	return fresh & WATCH_TOLD ? TW_TOLD : TW_CLOSED;
}

static void on_report(struct doctor *d, const struct watch_event *ev)
{
	struct open_end *end = ends_insert(&d->ends, ev->sk);

	if (!end || remember_fresh(d, ev->sk)) {
		d->forgotten++;
		return;
	}
	d->reported++;
	end->last = *ev;
}

static int on_event(const struct watch_event *ev, void *arg)
{
	struct doctor *d = arg;
	struct open_end *end;

	if (ev->kind >= WATCH_KINDS)
		return 0;
	d->received[ev->kind]++;
	if (ev->kind == WATCH_REPORT) {
		on_report(d, ev);
		return 0;
	}
	end = ends_find(&d->ends, ev->sk);
	if (!end || end->last.conn.cookie != ev->conn.cookie)
		return 0;
	if (ev->kind == WATCH_NEWS) {
		enum tw_what what = news(ev, &end->last);

		end->last = *ev;
		say(d, end, what);
	} else if (ev->kind == WATCH_END) {
		end->last = *ev;
		say(d, end, TW_OVER);
		ends_remove(&d->ends, end);
	}
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
	if (d->listener_count == d->listener_cap) {
		unsigned cap = d->listener_cap ? d->listener_cap * 2 : 64;
		struct listener *more = realloc(d->listeners, cap * sizeof(*more));

		if (!more)
			return;
		d->listeners = more;
		d->listener_cap = cap;
	}
	d->listeners[d->listener_count++] = (struct listener){ o->netns, o->port, owner_of(o) };
}

static void on_owner(const struct watch_owner *o, void *arg)
{
	struct doctor *d = arg;
	struct open_end *end;

	if (o->state == TCPS_LISTEN) {
		add_listener(d, o);
		return;
	}
	end = ends_find(&d->ends, o->sk);
	if (!end || end->last.conn.cookie != o->cookie)
		return;
	end->inode = o->inode;
	for (unsigned i = 0; i < end->owner_count && i < TW_MAX_OWNERS; i++)
		if (end->owners[i].pid == (int32_t)o->tgid && end->owners[i].fd == o->fd)
			return;
	if (end->owner_count < TW_MAX_OWNERS)
		end->owners[end->owner_count] = owner_of(o);
	end->owner_count++;
}

/* An end that waits to be accepted has no descriptor: its listener's owner stands in. */
static void borrow_listener(struct doctor *d, struct open_end *end)
{
	for (unsigned i = 0; i < d->listener_count; i++) {
		const struct listener *l = &d->listeners[i];

		if (l->port == end->last.conn.local_port && l->netns == end->last.conn.netns &&
		    end->owner_count < TW_MAX_OWNERS)
			end->owners[end->owner_count++] = l->owner;
	}
}

static void say_fresh(struct doctor *d)
{
	for (unsigned i = 0; i < d->fresh_count; i++) {
		struct open_end *end = ends_find(&d->ends, d->fresh[i]);

		if (!end)
			continue;
		if (!end->last.has_socket && end->last.state == TCPS_CLOSE_WAIT)
			borrow_listener(d, end);
		say(d, end, TW_HALF_CLOSED);
	}
	d->fresh_count = 0;
}

static int find_owners(struct doctor *d, bool take_in, struct err *e)
{
	d->listener_count = 0;
	return watch_owners(d->watch, take_in, on_owner, d, e);
}

int doctor_turn(struct doctor *d, int *wait_ms, struct err *e)
{
	uint64_t next = 0, now;
	int r = watch_turn(d->watch, on_event, d, &next, e);

	if (!r && d->fresh_count) {
		r = find_owners(d, false, e);
		say_fresh(d);
	}
	if (r)
		return r;
	now = (uint64_t)clock_mono_ns();
	*wait_ms = TURN_MS;
	if (next && next < now + TURN_MS * CLOCK_NS_PER_MS)
		*wait_ms = next > now ? (int)((next - now) / CLOCK_NS_PER_MS) + 1 : 1;
	return 0;
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
	r = watch_open(&d->watch, &setup->watch, e);
	if (!r && !setup->skip_present)
		r = find_owners(d, true, e);
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
	ends_free(&d->ends);
	free(d->fresh);
	free(d->listeners);
	free(d);
}

int doctor_fd(const struct doctor *d)
{
	return watch_fd(d->watch);
}

unsigned doctor_open_count(const struct doctor *d)
{
	return d->ends.count;
}

uint64_t doctor_reported(const struct doctor *d)
{
	return d->reported;
}

struct tw_losses doctor_losses(const struct doctor *d)
{
	struct watch_counts c = watch_counts(d->watch);

	return (struct tw_losses){
		.events = c.lost[WATCH_REPORT] + c.lost[WATCH_NEWS] + c.lost[WATCH_END],
		.stacks = c.lost[WATCH_STACK],
		.refused = c.stacks_refused,
		.untracked = c.untracked,
		.lags = c.lag_lost,
		.forgotten = d->forgotten,
	};
}

struct watch *doctor_watch(const struct doctor *d)
{
	return d->watch;
}
