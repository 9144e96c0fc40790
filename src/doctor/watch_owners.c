/* SPDX-License-Identifier: MIT */
/* Who holds what came due: from walks over descriptors, as small as they can be. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "doctor/watch_state.h"

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

static void on_owner(const struct watch_owner *o, void *arg)
{
	struct doctor *d = arg;
	struct tw_owner owner = owner_of(o);
	struct open_end *end = ends_find(&d->ends, o->sk);

	if (!end || end->began != o->began)
		return;
	if (o->cookie)
		end->cookie = o->cookie;
	ends_add_owner(&d->ends, end, &owner);
}

/* In pid namespaces of their own processes may have no number that they could be asked for by. */
static bool can_ask(const struct doctor *d)
{
	return watch_sees_all_processes(d->watch);
}

int watch_find_owners(struct doctor *d, bool take_in, struct err *e)
{
	d->owners_unseen = false;
	return watch_owners(d->watch, take_in, on_owner, d, e);
}

bool watch_was_accepted(const struct doctor *d, const struct watch_event *ev)
{
	const struct open_end *end = ends_find(&d->ends, ev->sk);

	return ev->kind == WATCH_NEWS && end && end->began == ev->conn.began && end->waiting &&
	       !watch_is_waiting(ev);
}

/* The files of the fresh ends. Returns how many; -1: they are too many, or one waits in an accept
 * queue and has none. */
static int fresh_files(const struct doctor *d, uint64_t files[WATCH_ASKED_MOST])
{
	int n = 0;

	for (uint32_t i = 0; i < d->fresh_count; i++) {
		const struct watch_event *ev = &d->fresh[i];

		if (ev->kind != WATCH_REPORT && !watch_was_accepted(d, ev))
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
int watch_find_fresh_owners(struct doctor *d, struct err *e)
{
	uint64_t files[WATCH_ASKED_MOST];
	int n = can_ask(d) ? fresh_files(d, files) : -1, r = -E2BIG;

	for (uint32_t i = 0; i < d->fresh_count; i++) {
		struct open_end *end = ends_find(&d->ends, d->fresh[i].sk);

		if (end &&
		    (d->fresh[i].kind == WATCH_REPORT || watch_was_accepted(d, &d->fresh[i])))
			ends_drop_owners(&d->ends, end);
	}
	d->owners_unseen = false;
	if (n == 0)
		return 0;
	if (n > 0)
		r = watch_owners_of(d->watch, files, (unsigned)n, on_owner, d, e);
	return r == -E2BIG || r == -EOPNOTSUPP ? watch_find_owners(d, false, e) : r;
}

/* Matches the wanted ends with the descriptors of those who are watched; of the others that may
 * hold them nothing is known then. */
static int match_with_watched(struct doctor *d, struct err *e)
{
	int r = -E2BIG;

	if (can_ask(d)) {
		d->matching_few = true;
		r = watch_owners_of(d->watch, NULL, 0, on_owner, d, e);
		d->matching_few = false;
	}
	return r == -E2BIG || r == -EOPNOTSUPP ? watch_find_owners(d, false, e) : r;
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
	uint64_t now = (uint64_t)clock_mono_ns(), took;
	int r;

	if (now < watch_next_matching(d))
		return 0;
	d->unmatched = false; /* but for what comes due during the walk */
	r = match_with_watched(d, e);
	if (!r)
		r = watch_settle_claims(d->watch, watch_on_event, d, e);
	took = (uint64_t)clock_mono_ns() - now;
	d->next_walk = now + 2 * took;
	d->next_match = now + MATCH_MS * CLOCK_NS_PER_MS + MATCH_REST * took;
	return r;
}
