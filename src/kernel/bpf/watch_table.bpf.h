/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* The table of ends that are half-closed or dead.
 *
 * Every connection that closes passes through it, so it is made for the cache, not for space: an
 * array that is looked up without a call, in which an end lies at its home, the place that its
 * address hashes to, or within NEAR places after it. A kernel's hash map takes what finds no room.
 * The first 64 bytes of an end, one cache line, hold all that its connection touches on its way,
 * but for what is known of the read that was told.
 *
 * All that happens to one socket is done under the socket's lock, and by nobody else; but for the
 * walk over descriptors, which takes in what was half-closed before and holds no more than a
 * reference. The socket is not destroyed meanwhile, but may be reset, or closed. So the walk marks
 * the place that it fills (seize()); what happens meanwhile is noted there; and whoever finishes
 * the end leaves the place to the walk, which gives it up instead of publishing it
 * (publish_seized()). Else it might be another end's by then. Different ends may want the same
 * place: whoever makes the place's `sk` its own has it. User space's search runs at any time, and
 * looks again after each thing that it changes: see watch_walk.bpf.h.
 *
 * `live` has a bit for each place that must be looked at when something may have come due. A
 * bit is cleared by the search alone, and only then is the place looked at; a place is claimed
 * before its bit is looked at; so one of the two sees the other. It stays set from one use of a
 * place to the next, which saves the writing. An end that is reported, or waits for its owner to be
 * matched, has none. */
#pragma once

#define PLACES (1u << WATCH_TABLE_BITS)
#define NEAR   4
#define AWAY   PLACES /* the number of no place: the end is in `spill` */

struct end {
	__u64 sk;    /* 0: free */
	__u64 began; /* when it became half-closed, or died */
	__u64 since; /* the same; but for one that died later, then */
	__u64 close_at;
	__u64 told_at;
	__u32 flags;    /* enum watch_flag; changed atomically; see is_whole() */
	__u32 away;     /* of the place: ends at home here that lie elsewhere */
	__u32 read_seq; /* the read position at the last tcp_rcv_space_adjust() */
	__u32 write_seq;
	/* With WATCH_TOLD, or else left from an end before: */
	__u32 told_tgid, told_tid;
	__u32 told_site;
	char told_comm[WATCH_COMM];
	__u32 error; /* sk_err; with WATCH_DEAD */
	__u64 inode; /* the socket's; with WATCH_DEAD. 0: it waits to be accepted */
	/* The listener in whose accept queue it was seen, and `began` of the one that was. */
	__u64 listener, waited;
} __attribute__((aligned(64)));

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE); /* for the alignment */
	__uint(max_entries, PLACES);
	__type(key, __u32);
	__type(value, struct end);
} ends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 131072);
	__type(key, __u64);
	__type(value, struct end);
} spill SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PLACES / 64);
	__type(key, __u32);
	__type(value, __u64);
} live SEC(".maps");

static __always_inline struct end *place(__u32 number)
{
	__u32 at = number & (PLACES - 1);

	return bpf_map_lookup_elem(&ends, &at);
}

/* The verifier allows no arithmetic on a socket's address but the difference from another one. */
static __u64 anchor = 0;

static __always_inline __u32 scatter(__u64 distance)
{
	return (distance >> 6) * 0x9e3779b97f4a7c15ULL >> (64 - WATCH_TABLE_BITS);
}

static __always_inline __u32 home_of(__u64 sk)
{
	return scatter(sk - (__u64)&anchor);
}

/* Not inlined: rare. */
static __noinline struct end *find_away(__u64 sk, __u32 home)
{
	for (__u32 i = 1; i < NEAR; i++) {
		struct end *e = place(home + i);

		if (e && e->sk == sk)
			return e;
	}
	return bpf_map_lookup_elem(&spill, &sk);
}

static __always_inline struct end *find_from(__u64 sk, __u32 home)
{
	struct end *e = place(home);

	if (!e)
		return NULL;
	if (e->sk == sk)
		return e;
	return e->away ? find_away(sk, home) : NULL;
}

static __always_inline struct end *find(__u64 sk)
{
	return find_from(sk, home_of(sk));
}

/* To the verifier what was added to the stack atomically is a plain number. */
static __always_inline __u64 plain_number(__u64 address)
{
	__u64 number = 0;

	__sync_fetch_and_add(&number, address);
	return number;
}

/* The same for an address that was read from memory, which is a plain number, too. */
static __always_inline struct end *find_number(__u64 sk)
{
	return find_from(sk, scatter(sk - plain_number((__u64)&anchor)));
}

/* An end that is neither being filled nor on its way out. */
static __always_inline bool is_whole(__u32 flags)
{
	return flags & (WATCH_HOLDER | WATCH_CLOSED | WATCH_DEAD) &&
	       !(flags & (WATCH_FINISHED | WATCH_SEIZED));
}

/* The same, or one that is being filled without the lock of its socket: what happens to it is noted
 * in its flags. */
static __always_inline bool is_known(__u32 flags)
{
	return flags & (WATCH_HOLDER | WATCH_CLOSED | WATCH_DEAD | WATCH_SEIZED) &&
	       !(flags & WATCH_FINISHED);
}

/* Whether the place is the socket's from here on. */
static __always_inline bool take_place(struct end *e, __u64 sk)
{
	__u64 was = __sync_val_compare_and_swap(&e->sk, 0, sk);

	return !was || was == sk;
}

/* What lies elsewhere is counted where it comes to do so: an end whose end was missed lies there
 * still. */
static __noinline struct end *claim_spill(__u64 sk, struct end *home)
{
	static const struct end none = {};
	bool fresh;
	struct end *e;

	if (!home)
		return NULL;
	fresh = !bpf_map_update_elem(&spill, &sk, &none, BPF_NOEXIST);
	e = bpf_map_lookup_elem(&spill, &sk);
	if (!e)
		return NULL;
	e->sk = sk;
	if (fresh) {
		__sync_fetch_and_add(&home->away, 1);
		__sync_fetch_and_add(&spilled, 1);
	}
	return e;
}

/* Not inlined: rare. */
static __noinline struct end *claim_away(__u64 sk, __u32 at, __u32 *number)
{
	struct end *home = place(at), *e;

	if (!home || !number)
		return NULL;
	for (__u32 i = 1; i < NEAR; i++) {
		__u64 was;

		e = place(at + i);
		if (!e)
			continue;
		was = __sync_val_compare_and_swap(&e->sk, 0, sk);
		if (was && was != sk)
			continue;
		if (!was)
			__sync_fetch_and_add(&home->away, 1);
		*number = (at + i) & (PLACES - 1);
		return e;
	}
	*number = AWAY;
	return claim_spill(sk, home);
}

/* A place for the end of `sk`, which has none; its number goes to `number`. NULL: there is no room
 * anywhere. */
static __always_inline struct end *claim(__u64 sk, __u32 *number)
{
	__u32 at = home_of(sk);
	struct end *home = place(at);

	*number = at;
	if (!home || take_place(home, sk))
		return home;
	return claim_away(sk, at, number);
}

static __always_inline void mark_live(__u32 number)
{
	__u64 bit = 1ULL << (number & 63), *word;

	if (number >= PLACES)
		return;
	number >>= 6;
	word = bpf_map_lookup_elem(&live, &number);
	if (word && !(*(volatile __u64 *)word & bit))
		__sync_fetch_and_or(word, bit);
}

/* The end is filled: the search may see it. */
static __always_inline void publish(struct end *e, __u32 flags, __u32 number)
{
	__sync_lock_test_and_set(&e->flags, flags);
	mark_live(number);
}

static __noinline int remove_away(__u64 sk, __u32 home)
{
	struct end *at_home = place(home);

	if (!at_home)
		return 0;
	for (__u32 i = 1; i < NEAR; i++) {
		struct end *e = place(home + i);

		if (e && e->sk == sk) {
			*(volatile __u64 *)&e->sk = 0;
			__sync_fetch_and_add(&at_home->away, -1);
			return 0;
		}
	}
	if (!bpf_map_delete_elem(&spill, &sk)) {
		__sync_fetch_and_add(&at_home->away, -1);
		__sync_fetch_and_add(&spilled, -1);
	}
	return 0;
}

static __always_inline void remove(__u64 sk)
{
	__u32 home = home_of(sk);
	struct end *e = place(home);

	if (e && e->sk == sk)
		*(volatile __u64 *)&e->sk = 0;
	else
		remove_away(sk, home);
}

/* Whether an end, or a claimed place, of these flags is marked from here on. */
static __always_inline bool seize(struct end *e, __u64 sk, __u32 from)
{
	if (*(volatile __u64 *)&e->sk != sk ||
	    __sync_val_compare_and_swap(&e->flags, from, WATCH_SEIZED) != from)
		return false;
	if (*(volatile __u64 *)&e->sk == sk)
		return true;
	/* It has become another's in between, which had the same flags. */
	__sync_val_compare_and_swap(&e->flags, WATCH_SEIZED, from);
	return false;
}

/* Of those that change the flags at the same time each does so once or twice. */
#define TRIES 8

/* Whether the claimed place is to be filled without the socket's lock: not where somebody who has
 * it has. Who has it leaves the place then as it is until it is published; or wipes out the mark by
 * publishing it himself. */
static __always_inline bool seize_claimed(struct end *e, __u64 sk)
{
	for (int i = 0; i < TRIES; i++) {
		__u32 flags = *(volatile __u32 *)&e->flags;

		if (is_whole(flags))
			return false;
		if (seize(e, sk, flags))
			return true;
	}
	return false;
}

/* Publishes it, with what happened to it meanwhile; returns whether it did. Where it was finished,
 * its place is given up here: it was left for that. Where the mark is gone, or the place another's,
 * there is nothing left to do. */
static __always_inline bool publish_seized(struct end *e, __u64 sk, __u32 flags, __u32 number)
{
	for (int i = 0; i < TRIES; i++) {
		__u32 now = *(volatile __u32 *)&e->flags;

		if (!(now & WATCH_SEIZED) || *(volatile __u64 *)&e->sk != sk)
			return false;
		if (now & WATCH_FINISHED)
			break;
		if (now & WATCH_DEAD & ~flags)
			e->since = bpf_ktime_get_ns();
		if (now & WATCH_CLOSED & ~flags)
			e->close_at = bpf_ktime_get_ns();
		if (__sync_val_compare_and_swap(&e->flags, now, flags | (now & ~WATCH_SEIZED)) !=
		    now)
			continue;
		mark_live(number);
		return true;
	}
	remove(sk);
	return false;
}
