/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* The tables and counters of the watch. */
#pragma once

const volatile struct watch_rules rules = {};

/* bss: user space reads and resets these through its mapping. */
struct watch_counts counts = {};
/* Ends that were followed. Counted apart on each CPU: every connection does it. */
struct watch_counter started[WATCH_CPUS] = {};
__u64 spilled = 0; /* ends in `spill` */
bool taking_in = false;
bool auditing = false;      /* what is taken in ought to be followed already */
__u64 taking_since = 0;     /* only what became so after this is taken in */
bool wants_destroy = false; /* an end is in the table, or was, that only on_destroy sees go */
bool has_destroy = false;   /* user space has attached on_destroy */
bool suspecting = false;    /* there may be a suspect: is_suspect() tells */
__u32 last_site = 0;
__u32 oldest_site = 0; /* of those before user space has no stack any more: they are as new */
__u64 stack_second = 0, stacks_this_second = 0;
__u64 wanted = 0;     /* ends with WATCH_WANTED */
bool claimed = false; /* of some of these one who is watched was told */
bool crowded = false; /* some of these have to wait for room in `events` */
__u32 walks = 0;      /* walks over descriptors; user space counts them */

/* A bit for each site, modulo WATCH_SITES, whose stack may be asked for soon. */
__u64 marked[WATCH_SITES / 64] = {};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

/* The first that comes to a place keeps it; what finds it taken is counted in `lags`. */
struct watch_lag_slot lag_slots[WATCH_LAG_SLOTS] = {};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct watch_lag_key);
	__type(value, struct watch_lag);
} lags SEC(".maps");

__u32 lag_rows = 0; /* in `lags`; user space, which takes some out, counts down */

/* The processes that are watched: number, and when it started. A number may be another's before the
 * one that had it is forgotten. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u64);
} pids SEC(".maps");

/* Stacks that were seen: the place, and a hash of the return addresses into the program itself that
 * lie on top of the stack, which tells apart two ways to the same place. */
struct site_key {
	__u64 ip, sp, hash;
	__u64 start;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WATCH_SITES);
	__type(key, struct site_key);
	__type(value, __u32);
} sites SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, WATCH_STACKS_ROOM);
} stacks SEC(".maps");

/* The way by which a place was reached last on a CPU: which of the upper words of the stack are
 * return addresses, and to where. Where they are the same, it is the same site, and nothing else
 * need be looked at. */
#define SITE_WORDS 64
#define WAY_WORDS  12
#define WAY_BITS   4 /* a CPU remembers 2^this */

struct way_key {
	__u64 ip, sp;
	__u64 start;
};

struct way {
	struct way_key key;
	__u32 site;  /* 0: nothing is remembered here */
	__u32 count; /* of words */
	__u32 span;  /* bytes of stack that hold them */
	__u8 at[WAY_WORDS];
	__u64 word[WAY_WORDS];
};

/* One program at a time uses a CPU's: none that takes a stack runs in an interrupt, and what is
 * stopped for another task in between keeps it. */
struct scratch {
	__u32 taken, pad;
	__u64 words[SITE_WORDS];
	struct way ways[1 << WAY_BITS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* Processes whose sockets' making is recorded, and where each was made: socket to site, until it is
 * destroyed. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u8);
} suspects SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 32768);
	__type(key, __u64);
	__type(value, __u32);
} made SEC(".maps");

static __always_inline void count(__u64 *counter)
{
	__sync_fetch_and_add(counter, 1);
}
