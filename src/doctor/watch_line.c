/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "doctor/watch_state.h"
#include "tcp/state.h"

/* Between two looks at a clock pass some 50 ns; where this much does, it looks so often at most. */
#define WALL_CLOSE_NS 20000
#define WALL_LOOKS    8

static struct tcp_addr address(uint8_t family, const uint8_t *bytes, uint16_t port)
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
static uint32_t ticks_ms(uint64_t tick_ns, uint32_t jiffies)
{
	uint64_t ms = jiffies * tick_ns / CLOCK_NS_PER_MS;

	return tick_ns && ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

/* The events of a change of state come before the change. */
static uint8_t state_of(const struct watch_event *ev)
{
	uint32_t both = WATCH_HOLDER | WATCH_CLOSED;

	if (ev->conn.flags & WATCH_DEAD)
		return TCPS_CLOSE;
	if (ev->state == TCPS_CLOSE_WAIT && (ev->conn.flags & both) == both)
		return TCPS_LAST_ACK;
	return (uint8_t)ev->state;
}

static struct tcp_sample sample_of(const struct doctor *d, const struct open_end *end,
				   const struct watch_event *ev)
{
	bool dead = ev->conn.flags & WATCH_DEAD;

	return (struct tcp_sample){
		.local = address(end->family, ends_local(end), end->local_port),
		.peer = address(end->family, ends_peer(end), end->peer_port),
		.state = state_of(ev),
		.retransmits = ev->retransmits,
		.has_info = true,
		.error = (uint16_t)ev->conn.error,
		.recv_q = dead ? 0 : ev->unread,
		.send_q = dead ? 0 : ev->unacked,
		.inode = (uint32_t)ev->inode,
		.cookie = end->cookie,
		.netns = end->netns,
		.last_data_sent_ms = ticks_ms(d->found.tick_ns, ev->sent_jiffies),
		.bytes_sent = ev->sent,
		.notsent_bytes = ev->unsent,
		.snd_wnd = ev->peer_window,
		.segs_in = dead ? 2 : 0, /* only what was connected can die */
	};
}

bool watch_is_flowing(const struct watch_event *ev, uint64_t tick_ns, uint64_t after_ns)
{
	uint64_t quiet_ms = after_ns / 2 / CLOCK_NS_PER_MS;

	if (ev->state == TCPS_FIN_WAIT2)
		return ev->received > 0 && ticks_ms(tick_ns, ev->recv_jiffies) <= quiet_ms;
	/* What is sent again is sent lately, too. A window may be shut for a moment. */
	if (ev->state != TCPS_CLOSE_WAIT || ev->sent == 0 || ev->retransmits > 0)
		return false;
	return (ev->unacked > 0 && ev->peer_window > 0) ||
	       ticks_ms(tick_ns, ev->sent_jiffies) <= quiet_ms;
}

bool watch_is_waiting(const struct watch_event *ev)
{
	return !ev->inode && (ev->state == TCPS_CLOSE_WAIT || ev->conn.flags & WATCH_DEAD);
}

/* The peer takes nothing of what waits for it. */
static bool is_stuck(const struct watch_event *ev)
{
	return ev->retransmits > 0 || ev->peer_window == 0;
}

enum tcp_cause watch_cause(const struct watch_event *ev, const struct tcp_sample *sample,
			   uint32_t processes, bool all_seen, bool flowing)
{
	struct tcp_sample s = *sample;
	struct tcp_context context = {
		.processes = processes,
		.all_seen = all_seen,
		/* Where several hold it, one that was told may have done its part. */
		.told = ev->conn.flags & WATCH_TOLD && !flowing && processes < 2,
		.flowing = flowing,
	};

	/* It was reset before it was accepted: of such a socket alone nothing would be said. */
	if (s.state == TCPS_CLOSE && !s.inode)
		return TCP_CAUSE_NOT_ACCEPTED;
	if (s.state == TCPS_CLOSE_WAIT && !flowing && is_stuck(ev))
		s.send_q = 0; /* which would stand for a half-close in use */
	return tcp_verdict(&s, &context).cause;
}

static enum tw_first first_of(const struct watch_conn *c)
{
	if (c->flags & WATCH_HOLDER)
		return TW_FIRST_PEER;
	if (c->close_at)
		return TW_FIRST_HERE;
	return c->flags & WATCH_TAKEN_IN ? TW_FIRST_UNKNOWN : TW_FIRST_NOBODY;
}

/* From CLOCK_MONOTONIC to CLOCK_REALTIME, ns. Between two looks at a clock the process may have
 * been kept waiting: then they say little of one another, and it looks again. */
static int64_t wall_offset(void)
{
	int64_t offset = 0, closest = INT64_MAX;

	for (int i = 0; i < WALL_LOOKS && closest > WALL_CLOSE_NS; i++) {
		int64_t before = clock_mono_ns(), took;
		struct timespec ts;

		clock_gettime(CLOCK_REALTIME, &ts);
		took = clock_mono_ns() - before;
		if (took < closest) {
			closest = took;
			offset = ts.tv_sec * CLOCK_NS_PER_S + ts.tv_nsec - before - took / 2;
		}
	}
	return offset;
}

void watch_keep_stack(const struct watch_stack *stack, void *arg)
{
	struct doctor *d = arg;

	d->received[WATCH_STACK]++;
	stacks_keep(d->stacks, stack);
	watch_forget_stacks(d->watch, stacks_oldest(d->stacks));
}

static void find_stacks(struct doctor *d, const struct watch_conn *c, struct tw_line *line)
{
	struct err unused;

	if (line->what == TW_CLOSED || line->what == TW_OVER)
		return;
	if (watch_stacks(d->watch, watch_keep_stack, d, &unused))
		return;
	line->told_stack = stacks_read(d->stacks, c->told_site);
	line->made_stack = stacks_read(d->stacks, c->made_site);
}

static void copy_owners(const struct doctor *d, struct tw_owner *to, const struct open_end *end)
{
	for (uint32_t i = 0; i < TW_MAX_OWNERS; i++)
		ends_owner(&d->ends, end, i, &to[i]);
}

/* The other end, where this line stands for both. */
static void add_closer(const struct doctor *d, const struct open_end *end, struct tw_line *line)
{
	const struct open_end *other = line->first == TW_FIRST_PEER ? ends_partner(&d->ends, end)
								    : NULL;

	if (!other || !other->hidden)
		return;
	line->has_closer = true;
	line->closer = (struct tw_closer){
		.state = other->state,
		.cookie = other->cookie,
		.netns = other->netns,
		.owner_count = other->owner_count,
	};
	copy_owners(d, line->closer.owners, other);
}

static const char *container_of(const struct doctor *d, const struct open_end *end)
{
	uint32_t first = end->first.holder;

	return first ? holders_at(&d->ends.holders, first)->container : NULL;
}

static enum tcp_cause cause_now(const struct doctor *d, const struct open_end *end,
				const struct watch_event *ev, const struct tcp_sample *sample)
{
	struct tcp_sample s = *sample;

	if (ev->kind == WATCH_END && !end->waiting && !s.inode)
		s.inode = 1; /* it had one: what has ended has lost it */
	return watch_cause(ev, &s, ends_processes(&d->ends, end),
			   watch_sees_all_processes(d->watch) && !end->unsought,
			   watch_is_flowing(ev, d->found.tick_ns, d->setup.watch.rules.after));
}

enum tcp_cause watch_cause_now(const struct doctor *d, const struct open_end *end,
			       const struct watch_event *ev)
{
	struct tcp_sample sample = sample_of(d, end, ev);

	return cause_now(d, end, ev, &sample);
}

/* What the event and the end themselves say; without stacks, holders and the other end. */
static struct tw_line line_of(const struct doctor *d, const struct open_end *end,
			      const struct watch_event *ev, enum tw_what what)
{
	const struct watch_conn *c = &ev->conn;
	struct tw_line line = {
		.what = what,
		.sample = sample_of(d, end, ev),
		.age_ns = since(ev->at, c->since),
		.taken_in = c->flags & WATCH_TAKEN_IN,
		.at_least = c->flags & WATCH_TAKEN_IN && !(c->flags & WATCH_EXACT) &&
			    c->since == c->began,
		.first = first_of(c),
		.dead = c->flags & WATCH_DEAD,
		.accepted = ev->accepted,
		.waiting = end->waiting,
		.told = c->flags & WATCH_TOLD,
		.told_ns = since(ev->at, c->told_at),
		.told_pid = (int32_t)c->told_tgid,
		.told_tid = (int32_t)c->told_tid,
		/* When one that was taken in closed is not known. */
		.closed = c->flags & WATCH_HOLDER && c->flags & WATCH_CLOSED && c->close_at,
		.by_exit = c->flags & WATCH_EXITING,
		.owner_count = end->owner_count,
		.cgroup = end->cgroup,
	};

	line.cause = cause_now(d, end, ev, &line.sample);
	if (line.closed)
		line.lag_ns = since(c->close_at, c->fin_at);
	memcpy(line.told_comm, c->told_comm, sizeof(line.told_comm));
	return line;
}

void watch_say(struct doctor *d, const struct open_end *end, const struct watch_event *ev,
	       enum tw_what what)
{
	struct tw_line line = line_of(d, end, ev, what);
	const char *container = container_of(d, end);

	line.wall_ns = (int64_t)ev->at + wall_offset();
	line.elsewhere = d->netns && end->netns != d->netns;
	find_stacks(d, &ev->conn, &line);
	add_closer(d, end, &line);
	copy_owners(d, line.owners, end);
	if (container)
		snprintf(line.container, sizeof(line.container), "%s", container);
	d->each(&line, d->arg);
}
