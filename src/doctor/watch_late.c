/* SPDX-License-Identifier: MIT */
/* What is said later than it is heard. The report of an end that closed first waits for that of the
 * other end, which may stand for both, and for a search that could have found it; and a line that
 * shows a stack waits until that is read, by a thread of its own (reader.h). What is heard of an
 * end whose line waits for a stack waits behind it: so the lines about one end keep their order,
 * and those about others pass. */
#include <errno.h>

#include "base/clock.h"
#include "base/vec.h"
#include "doctor/watch_state.h"

/* A report of the end that closed first waits so long for that of the other end, which comes due as
 * much later as the FIN took; and so many events may wait at a time. */
#define PARTNER_NS (20 * CLOCK_NS_PER_MS)
#define MOST_LATE  8192
/* Files that take longer to read, on a server that does not answer, say, are not waited for. */
#define STACK_NS (5 * CLOCK_NS_PER_S)

uint32_t watch_news(uint32_t flags, uint32_t before)
{
	uint32_t fresh = flags & ~before;

	if (fresh & WATCH_DEAD)
		return WATCH_DEAD;
	return fresh & WATCH_TOLD ? WATCH_TOLD : fresh & WATCH_CLOSED;
}

/* Where its next sockets come from is worth knowing. That it cannot be had is no reason to stop,
 * but to say so. */
static void record_makers(struct doctor *d, const struct open_end *end)
{
	struct tw_owner o;
	struct err unused;

	if (!d->setup.watch.rules.stacks ||
	    (d->setup.watch.rules.made && !d->setup.watch.rules.by_owner))
		return;
	for (uint32_t i = 0; i < end->owner_count && i < TW_MAX_OWNERS; i++)
		if (ends_owner(&d->ends, end, i, &o) && watch_suspect(d->watch, o.pid, &unused)) {
			d->unsuspected++;
			return;
		}
}

static void look_no_later_than(struct doctor *d, uint64_t when)
{
	if (when < d->next_again)
		d->next_again = when;
}

/* A half-close in use may go quiet; one for which nobody is to blame may die, and nobody close it
 * then. */
static void schedule_look(struct doctor *d, struct open_end *end, const struct watch_event *ev)
{
	enum tcp_cause cause = watch_cause_now(d, end, ev);

	if (end->blameless && cause == TCP_CAUSE_DEAD) {
		end->again = true;
		look_no_later_than(d, ev->conn.since + d->setup.watch.rules.after);
	} else if (cause == TCP_CAUSE_REPLYING) {
		end->again = true;
		look_no_later_than(d, ev->at + d->setup.watch.rules.after);
	}
}

bool watch_is_other_now(const struct doctor *d, const struct open_end *end,
			const struct watch_event *ev)
{
	enum tcp_cause cause = watch_cause_now(d, end, ev);

	if (!end->again || end->hidden || cause == TCP_CAUSE_REPLYING)
		return false;
	return cause != TCP_CAUSE_DEAD || ev->at >= ev->conn.since + d->setup.watch.rules.after;
}

/* Whether it is to be said of one that was looked at again that it has changed; for dead it counts
 * once it is that for as long as is allowed. */
static bool has_changed(struct doctor *d, struct open_end *end, const struct watch_event *ev)
{
	uint64_t after = d->setup.watch.rules.after;
	enum tcp_cause cause = watch_cause_now(d, end, ev);

	if (!watch_is_other_now(d, end, ev)) { /* the next look comes */
		if (end->again && !end->hidden && cause == TCP_CAUSE_DEAD)
			look_no_later_than(d, ev->conn.since + after);
		return false;
	}
	end->again = false;
	return tw_is_fault(cause) || cause == TCP_CAUSE_HALF_CLOSED_HERE;
}

static void say_report(struct doctor *d, struct open_end *end, const struct watch_event *ev)
{
	ends_hide(&d->ends, end, false);
	end->late = false;
	end->said = true;
	d->reported++;
	watch_say(d, end, ev, TW_HALF_CLOSED);
	end->blameless = !tw_is_fault(watch_cause_now(d, end, ev));
	schedule_look(d, end, ev);
	record_makers(d, end);
}

static bool shows_stacks(const struct open_end *end, const struct watch_event *ev)
{
	if (ev->kind == WATCH_REPORT || ev->kind == WATCH_LOOK)
		return true;
	return ev->kind == WATCH_NEWS && !end->hidden &&
	       watch_news(ev->conn.flags, end->flags) & (WATCH_DEAD | WATCH_TOLD);
}

/* Whether the line can be said with the stacks that it shows. */
static bool is_read(struct doctor *d, const struct open_end *end, const struct watch_event *ev)
{
	struct err unused;

	if (!shows_stacks(end, ev) || (!ev->conn.told_site && !ev->conn.made_site))
		return true;
	if (watch_stacks(d->watch, watch_keep_stack, d, &unused))
		return true;
	/* Both are asked for at once. */
	return (int)stacks_ready(d->stacks, ev->conn.told_site) &
	       (int)stacks_ready(d->stacks, ev->conn.made_site);
}

static uint64_t left_until(uint64_t until)
{
	uint64_t now = (uint64_t)clock_mono_ns();

	return until > now ? until - now : 0;
}

static void await_stacks(struct doctor *d, const struct open_end *end, const struct watch_event *ev,
			 uint64_t until)
{
	stacks_collect(d->stacks);
	if (is_read(d, end, ev))
		return;
	stacks_await(d->stacks, ev->conn.told_site, left_until(until));
	stacks_await(d->stacks, ev->conn.made_site, left_until(until));
}

static bool put_off(struct doctor *d, const struct watch_event *ev, uint64_t due, bool reading)
{
	if (d->late_count == MOST_LATE ||
	    vec_reserve(&d->late, &d->late_cap, d->late_count + 1, sizeof(*d->late)))
		return false;
	d->late[d->late_count++] = (struct late){ due, reading, *ev };
	return true;
}

/* It waits for its stacks; false: it can be said, or there is no room, and it is said without. */
static bool wait_for_stacks(struct doctor *d, struct open_end *end, const struct watch_event *ev)
{
	if (is_read(d, end, ev))
		return false;
	if (put_off(d, ev, (uint64_t)clock_mono_ns() + STACK_NS, true)) {
		end->reading = true;
		end->late |= ev->kind == WATCH_REPORT;
		return true;
	}
	return false;
}

static void report(struct doctor *d, struct open_end *end, const struct watch_event *ev)
{
	if (!wait_for_stacks(d, end, ev))
		say_report(d, end, ev);
}

/* Without room it is said at once. */
static void say_later(struct doctor *d, struct open_end *end, const struct watch_event *ev,
		      uint64_t due)
{
	if (put_off(d, ev, due, false))
		end->late = true;
	else
		report(d, end, ev);
}

/* One line for a connection whose ends are both here: that of the end that holds it. */
static void hide(struct doctor *d, struct open_end *end)
{
	ends_hide(&d->ends, end, true);
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

void watch_due(struct doctor *d, struct open_end *end, const struct watch_event *ev)
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
	report(d, end, ev);
}

/* The other end is over, and this one was not closed yet: that is said if it stays so. */
static void on_hidden_news(struct doctor *d, struct open_end *end, const struct watch_event *ev)
{
	end->flags = (uint16_t)ev->conn.flags;
	if (!end->late && ev->conn.flags & WATCH_DEAD) {
		struct watch_event as_report = *ev;

		as_report.kind = WATCH_REPORT;
		say_later(d, end, &as_report, ev->at + d->setup.watch.rules.after);
	}
}

/* What happens to an end whose report waits for its partner comes after that. */
static void say_waiting_report(struct doctor *d, struct open_end *end)
{
	for (uint32_t i = d->late_count; !end->hidden && end->late && i-- > 0;) {
		struct watch_event ev = d->late[i].event;

		if (ev.sk != end->sk || ev.conn.began != end->began)
			continue;
		if (is_read(d, end, &ev)) {
			say_report(d, end, &ev);
			return;
		}
		d->late[i].due = (uint64_t)clock_mono_ns() + STACK_NS;
		d->late[i].reading = end->reading = true;
		return;
	}
}

static void say_one(struct doctor *d, struct open_end *end, const struct watch_event *ev,
		    uint32_t flag)
{
	if (!flag)
		return;
	watch_say(d, end, ev,
		  flag == WATCH_DEAD   ? TW_DEAD
		  : flag == WATCH_TOLD ? TW_TOLD
				       : TW_CLOSED);
	end->flags |= (uint16_t)flag;
	schedule_look(d, end, ev);
}

static void say_news(struct doctor *d, struct open_end *end, const struct watch_event *ev)
{
	if (ev->kind == WATCH_NEWS && end->hidden) {
		on_hidden_news(d, end, ev);
	} else if (ev->kind == WATCH_NEWS) {
		say_one(d, end, ev, watch_news(ev->conn.flags, end->flags));
	} else if (ev->kind == WATCH_LOOK && !end->hidden) {
		watch_say(d, end, ev, TW_STILL);
		end->blameless = !tw_is_fault(watch_cause_now(d, end, ev));
	} else if (ev->kind == WATCH_END) {
		if (!end->hidden)
			watch_say(d, end, ev, TW_OVER);
		ends_remove(&d->ends, end);
	}
}

static struct open_end *end_of(const struct doctor *d, const struct watch_event *ev)
{
	struct open_end *end = ends_find(&d->ends, ev->sk);

	return end && end->began == ev->conn.began ? end : NULL;
}

/* Says one that waited, unless another line stands for it. */
static void say_late(struct doctor *d, struct open_end *end, const struct watch_event *ev)
{
	if (ev->kind != WATCH_REPORT)
		say_news(d, end, ev);
	else if (end->late)
		say_report(d, end, ev);
}

void watch_say_now(struct doctor *d, uint64_t sk, uint64_t began)
{
	uint64_t now = (uint64_t)clock_mono_ns();
	uint32_t kept = 0;

	/* What is said may bring about another that waits. */
	for (uint32_t i = 0; i < d->late_count; i++) {
		struct late l = d->late[i];
		struct open_end *end = end_of(d, &l.event);
		bool is_other = l.event.sk != sk || l.event.conn.began != began;

		/* Of one that is hidden the other end's line stands for it until then. */
		if (is_other || (end && end->hidden && !l.reading && l.due > now))
			d->late[kept++] = l;
		else if (end)
			say_late(d, end, &l.event);
	}
	d->late_count = kept;
}

void watch_follow_up(struct doctor *d, const struct watch_event *ev)
{
	struct open_end *end = end_of(d, ev);

	if (!end || (ev->kind == WATCH_LOOK && !has_changed(d, end, ev)))
		return;
	if (!end->reading)
		say_waiting_report(d, end);
	if (end->reading) {
		if (put_off(d, ev, 0, true))
			return;
		end->reading = false;
		watch_say_now(d, ev->sk, ev->conn.began);
		end = end_of(d, ev);
	}
	if (end && !wait_for_stacks(d, end, ev))
		say_news(d, end, ev);
}

/* Says one that waits, or returns true: it waits on. With `until` all are said, without the stacks
 * that are not read by then. */
static bool waits_on(struct doctor *d, struct late *l, uint64_t now, uint64_t until)
{
	struct open_end *end = end_of(d, &l->event);
	bool is_report = l->event.kind == WATCH_REPORT;

	if (!end || (is_report && !end->late))
		return false;
	if (end->reading) /* something before it waits on */
		return true;
	if (!l->reading) {
		if (l->due > d->searched_all && (!until || end->hidden)) {
			d->next_late = l->due < d->next_late ? l->due : d->next_late;
			return true;
		}
		l->event.at = now;
		l->due = now + STACK_NS;
		l->reading = true;
	}
	if (until)
		await_stacks(d, end, &l->event, until);
	else if (!is_read(d, end, &l->event) && (!l->due || l->due > now)) {
		l->due = l->due ? l->due : now + STACK_NS;
		end->reading = true;
		return true;
	}
	say_late(d, end, &l->event);
	return false;
}

void watch_say_late(struct doctor *d, bool all)
{
	uint64_t now = (uint64_t)clock_mono_ns(), until = all ? now + STACK_NS : 0;
	uint32_t kept = 0;

	d->next_late = UINT64_MAX;
	for (uint32_t i = 0; i < d->late_count; i++) {
		struct open_end *end = end_of(d, &d->late[i].event);

		if (end)
			end->reading = false;
	}
	/* What is said may bring about another that waits. */
	for (uint32_t i = 0; i < d->late_count; i++) {
		struct late l = d->late[i];

		if (waits_on(d, &l, now, until))
			d->late[kept++] = l;
	}
	d->late_count = kept;
	if (!kept)
		vec_rest(&d->late, &d->late_cap, WATCH_AT_REST);
}

uint64_t watch_next_late(const struct doctor *d, uint64_t next)
{
	for (uint32_t i = 0; i < d->late_count; i++)
		if (d->late[i].reading && d->late[i].due && d->late[i].due < next)
			next = d->late[i].due;
	return next;
}
