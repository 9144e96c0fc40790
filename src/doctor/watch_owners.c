/* SPDX-License-Identifier: MIT */
/* Who holds what came due: from walks over descriptors, as small as they can be. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/vec.h"
#include "doctor/watch_state.h"

/* Looking for the holders of later lines takes at most this part of the time, with as much ahead: a
 * look takes a millisecond, and 0.1 s where a process has 100,000 descriptors. What a look takes is
 * this thread's time on a processor: on a busy machine it may wait for that, and would rest the
 * longer. */
#define RENEW_PART  20
#define RENEW_AHEAD (250 * CLOCK_NS_PER_MS)

/* Between two attempts to match ends that nobody who is watched held so far; and so many times as
 * long as the attempt takes, where that is more. */
#define MATCH_MS   250
#define MATCH_REST 20

static struct tw_owner owner_of(const struct watch_owner *o)
{
	struct tw_owner owner = { .pid = (int32_t)o->tgid, .fd = o->fd, .start_ns = o->start };

	memcpy(owner.comm, o->comm, sizeof(owner.comm));
	return owner;
}

static void on_listener(struct doctor *d, const struct watch_owner *o)
{
	if (vec_reserve(&d->listening, &d->listening_cap, d->listening_count + 1,
			sizeof(*d->listening)))
		return; /* it is as if nobody had it */
	d->listening[d->listening_count++] = (struct listening){ o->sk, owner_of(o) };
}

static void on_owner(const struct watch_owner *o, void *arg)
{
	struct doctor *d = arg;
	struct tw_owner owner = owner_of(o);
	struct open_end *end = ends_find(&d->ends, o->sk);

	if (!o->began)
		on_listener(d, o);
	if (!end || end->began != o->began)
		return;
	if (end->renewing)
		ends_drop_owners(&d->ends, end);
	end->renewing = false;
	if (o->cookie)
		end->cookie = o->cookie;
	ends_add_owner(&d->ends, end, &owner);
}

/* In pid namespaces of their own processes may have no number that they could be asked for by. */
static bool can_ask(const struct doctor *d)
{
	return watch_sees_all_processes(d->watch);
}

/* Gives an end that waits to be accepted the owners of its listener. */
static int add_listening(struct doctor *d, struct open_end *end, struct err *e)
{
	uint64_t listener;
	int r = watch_listener(d->watch, end->sk, end->began, &listener, e);

	for (uint32_t i = 0; !r && listener && i < d->listening_count; i++)
		if (d->listening[i].sk == listener)
			ends_add_owner(&d->ends, end, &d->listening[i].owner);
	return r;
}

/* Walks over all descriptors. */
static int find_all_owners(struct doctor *d, struct err *e)
{
	int r;

	d->owners_unseen = false;
	d->listening_count = 0;
	d->matching_all = true;
	r = watch_owners(d->watch, false, on_owner, d, e);
	d->matching_all = false;
	for (uint32_t i = 0; !r && d->listening_count && i < d->fresh_count; i++) {
		const struct watch_event *ev = &d->fresh[i];
		struct open_end *end = ends_find(&d->ends, ev->sk);

		if (end && end->began == ev->conn.began && ev->kind == WATCH_REPORT &&
		    watch_is_waiting(ev))
			r = add_listening(d, end, e);
	}
	vec_rest(&d->listening, &d->listening_cap, WATCH_AT_REST);
	return r;
}

bool watch_was_accepted(const struct doctor *d, const struct watch_event *ev)
{
	const struct open_end *end = ends_find(&d->ends, ev->sk);

	return ev->kind == WATCH_NEWS && end && end->began == ev->conn.began && end->waiting &&
	       !watch_is_waiting(ev);
}

bool watch_renews_owners(struct doctor *d, const struct watch_event *ev)
{
	const struct open_end *end = ends_find(&d->ends, ev->sk);
	uint64_t now = (uint64_t)clock_mono_ns();

	if (!end || end->began != ev->conn.began || end->hidden || !ev->file || !can_ask(d))
		return false;
	if (ev->kind == WATCH_NEWS && !(ev->conn.flags & ~end->flags & (WATCH_TOLD | WATCH_DEAD)))
		return false;
	if (ev->kind == WATCH_END || (ev->kind == WATCH_LOOK && !watch_is_other_now(d, end, ev)))
		return false;
	d->renewing_ns += (int64_t)((now - d->renewed) / RENEW_PART);
	if (!d->renewed || d->renewing_ns > RENEW_AHEAD)
		d->renewing_ns = RENEW_AHEAD;
	d->renewed = now;
	return d->renewing_ns > 0;
}

static bool is_counted_anew(const struct doctor *d, const struct watch_event *ev)
{
	return ev->kind == WATCH_REPORT || watch_was_accepted(d, ev);
}

/* The files of the fresh ends. Returns how many; -1: they are too many, or one waits in an accept
 * queue and has none. */
static int fresh_files(const struct doctor *d, uint64_t files[WATCH_ASKED_MOST])
{
	int n = 0;

	for (uint32_t i = 0; i < d->fresh_count; i++) {
		const struct watch_event *ev = &d->fresh[i];

		if (!is_counted_anew(d, ev))
			continue;
		if (n == WATCH_ASKED_MOST || watch_is_waiting(ev))
			return -1;
		if (ev->file)
			files[n++] = ev->file;
	}
	return n;
}

/* Adds those of the ends whose owners may be others now; what there is no room for keeps those that
 * are known. Where all descriptors are to be looked at (-1), none need be named. */
static int add_renewed_files(struct doctor *d, uint64_t files[WATCH_ASKED_MOST], int n)
{
	for (uint32_t i = 0; i < d->fresh_count && n < WATCH_ASKED_MOST; i++) {
		const struct watch_event *ev = &d->fresh[i];
		struct open_end *end = ends_find(&d->ends, ev->sk);

		if (!end || end->began != ev->conn.began || !ev->file || is_counted_anew(d, ev))
			continue;
		end->renewing = true;
		if (n >= 0)
			files[n++] = ev->file;
	}
	return n;
}

/* Of an end that nobody was seen to hold now the owners stay: it is being closed, or passed on. */
static void end_renewal(struct doctor *d, int64_t begun)
{
	bool any = false;

	for (uint32_t i = 0; i < d->fresh_count; i++) {
		struct open_end *end = ends_find(&d->ends, d->fresh[i].sk);

		any |= !is_counted_anew(d, &d->fresh[i]);
		if (end)
			end->renewing = false;
	}
	if (any)
		d->renewing_ns -= clock_thread_ns() - begun;
}

/* Sets whether somebody has yet to look for the owners of those that are counted anew. */
static void set_unsought(struct doctor *d, bool unsought)
{
	for (uint32_t i = 0; i < d->fresh_count; i++) {
		struct open_end *end = ends_find(&d->ends, d->fresh[i].sk);

		if (end && is_counted_anew(d, &d->fresh[i]))
			end->unsought = unsought;
	}
}

/* Those of which owners may be missing have them counted anew. Where they are few, only their
 * holders are looked at. */
int watch_find_fresh_owners(struct doctor *d, struct err *e)
{
	uint64_t files[WATCH_ASKED_MOST];
	int64_t begun = clock_thread_ns();
	int n = can_ask(d) ? fresh_files(d, files) : -1, r = -EOVERFLOW;

	n = add_renewed_files(d, files, n);
	for (uint32_t i = 0; i < d->fresh_count; i++) {
		struct open_end *end = ends_find(&d->ends, d->fresh[i].sk);

		if (end && is_counted_anew(d, &d->fresh[i]))
			ends_drop_owners(&d->ends, end);
	}
	d->owners_unseen = false;
	set_unsought(d, false);
	if (n == 0)
		return 0;
	if (n > 0)
		r = watch_owners_of(d->watch, files, (unsigned)n, on_owner, d, e);
	if (r == -EOVERFLOW || r == -EOPNOTSUPP)
		r = find_all_owners(d, e);
	end_renewal(d, begun);
	if (r)
		set_unsought(d, true);
	return r;
}

/* Matches the wanted ends with the descriptors of those who are watched. */
static int match_with_watched(struct doctor *d, struct err *e)
{
	int r = -EOVERFLOW;

	if (can_ask(d))
		r = watch_owners_of(d->watch, NULL, 0, on_owner, d, e);
	return r == -EOVERFLOW || r == -EOPNOTSUPP ? find_all_owners(d, e) : r;
}

uint64_t watch_next_matching(const struct doctor *d)
{
	if (d->unmatched)
		return d->next_walk;
	return d->found.wanted ? d->next_match : UINT64_MAX;
}

/* Where only some processes are watched, what came due is matched with their descriptors: at once,
 * but so that as much time goes into other things; and again while some are unmatched, since a
 * connection may be accepted, or a descriptor passed, later. */
int watch_match_owners(struct doctor *d, struct err *e)
{
	int64_t begun = clock_thread_ns();
	uint64_t now, took;
	int r;

	d->unmatched = false; /* but for what comes due during the walk */
	r = match_with_watched(d, e);
	if (!r)
		r = watch_settle_claims(d->watch, watch_on_event, d, e);
	d->unmatched |= watch_was_crowded(d->watch);
	took = (uint64_t)(clock_thread_ns() - begun);
	now = (uint64_t)clock_mono_ns();
	d->next_walk = now + took;
	if (r) { /* for the next attempt, if there is one */
		d->unmatched = true;
		d->next_walk += MATCH_MS * CLOCK_NS_PER_MS;
	}
	d->next_match = now + MATCH_MS * CLOCK_NS_PER_MS + MATCH_REST * took;
	return r;
}
