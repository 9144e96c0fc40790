/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Close lag, counted per process, port and size: docs/CLOSE-LAG.md. */
#pragma once

/* The logarithm's whole part in the upper bits, its first six binary places below: a bucket is at
 * most 1/64 of its value wide. src/tcp/lag.h undoes this. */
static __always_inline __u32 lag_bucket(__u64 ns)
{
	__u64 v = ns >> 6; /* 64 ns are the finest that is told apart */
	__u32 log = 0;

	if (v < 64)
		return v;
	for (int step = 32; step; step >>= 1) {
		if (v >> (log + step))
			log += step;
	}
	return (log - 5) * 64 + ((v >> (log - 6)) & 63);
}

/* A thread of the kernel closes what nobody is left for to close, whoever had it: it has no name to
 * be blamed by. */
static __always_inline bool is_kernel(const struct task_struct *task)
{
	return task->flags & PF_KTHREAD;
}

static __always_inline void name_process(struct task_struct *task, char comm[WATCH_COMM])
{
	if (is_kernel(task))
		__builtin_memcpy(comm, WATCH_KERNEL, sizeof(WATCH_KERNEL));
	else
		bpf_probe_read_kernel_str(comm, WATCH_COMM, task->group_leader->comm);
}

/* Others that try at the same time each make it larger, at most once for each CPU. */
#define RAISES_MOST 256

/* Not inlined: rare. */
static __noinline int raise_max(struct watch_lag *lag, __u64 ns)
{
	if (!lag)
		return 0;
	for (int i = 0; i < RAISES_MOST; i++) {
		__u64 was = *(volatile __u64 *)&lag->max;

		if (ns <= was || __sync_val_compare_and_swap(&lag->max, was, ns) == was)
			return 0;
	}
	return 0;
}

static __always_inline void add_lag(struct watch_lag *lag, __u64 ns)
{
	count(&lag->count);
	if (ns > lag->max)
		raise_max(lag, ns);
}

static __always_inline bool is_lag_of(const struct watch_lag_key *a, const struct watch_lag_key *b)
{
	return a->start == b->start && a->tgid == b->tgid && a->port == b->port &&
	       a->outward == b->outward && a->bucket == b->bucket;
}

/* Not inlined: rare. */
static __noinline int take_slot(struct watch_lag_slot *slot, const struct watch_lag_key *key,
				__u64 ns)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (!slot || !key ||
	    __sync_val_compare_and_swap(&slot->state, WATCH_SLOT_FREE, WATCH_SLOT_TAKEN))
		return 0;
	slot->key = *key;
	slot->lag.max = ns;
	name_process(task, slot->lag.comm);
	count(&slot->lag.count);
	__sync_lock_test_and_set(&slot->state, WATCH_SLOT_FILLED);
	return 1;
}

/* Whether it is counted. Not so while another CPU fills the place, be it with the same key: then
 * the map counts it, and user space adds the two. */
static __always_inline bool count_in_slot(const struct watch_lag_key *key, __u64 ns)
{
	__u64 hash = (key->start + key->tgid) ^ ((__u64)key->bucket << 32 | key->port);
	struct watch_lag_slot *slot =
		&lag_slots[hash * 0x9e3779b97f4a7c15ULL >> (64 - WATCH_LAG_SLOT_BITS)];
	__u32 state = *(volatile __u32 *)&slot->state;

	if (state == WATCH_SLOT_FREE)
		return take_slot(slot, key, ns);
	if (state != WATCH_SLOT_FILLED || !is_lag_of(&slot->key, key))
		return false;
	add_lag(&slot->lag, ns);
	return true;
}

/* Not inlined: rare. */
static __noinline int count_in_map(const struct watch_lag_key *key, __u64 ns)
{
	struct watch_lag fresh = { .count = 1, .max = ns }, *lag;

	if (!key)
		return 0;
	lag = bpf_map_lookup_elem(&lags, key);
	if (lag) {
		add_lag(lag, ns);
		return 0;
	}
	name_process(bpf_get_current_task_btf(), fresh.comm);
	if (!bpf_map_update_elem(&lags, key, &fresh, BPF_NOEXIST)) {
		__sync_fetch_and_add(&lag_rows, 1);
		return 0;
	}
	lag = bpf_map_lookup_elem(&lags, key); /* another CPU was first, or the table is full */
	if (lag)
		add_lag(lag, ns);
	else
		count(&counts.lag_lost);
	return 0;
}

/* Runs in the context of the call that sends the FIN: tcp_close_state() has no other callers than
 * tcp_close() and tcp_shutdown(). */
static __always_inline void count_lag(const struct sock *sk, const struct end *e, __u64 now,
				      struct task_struct *task)
{
	struct watch_lag_key key = {};
	__u64 ns = now - e->began;

	if (!is_kernel(task)) {
		key.start = task->group_leader->start_boottime;
		key.tgid = process_of(task);
	}
	key.outward = sk->sk_max_ack_backlog == 0;
	key.port = key.outward ? bpf_ntohs(sk->__sk_common.skc_dport) : sk->__sk_common.skc_num;
	key.bucket = lag_bucket(ns);
	if (!count_in_slot(&key, ns))
		count_in_map(&key, ns);
}
