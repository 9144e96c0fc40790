/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Who holds an end: walks over descriptors.
 *
 * An end that waits to be accepted has no descriptor. It is its listener's, in whose accept queue
 * it is looked for: at one port may listen many. The queue may be long, and many processes may have
 * the listener. So the walk notes in each end whose queue it is in, and gives the descriptors of
 * the listener once. */
#pragma once

static __always_inline void match(struct task_struct *task, __u64 key, struct end *e)
{
	if (owner_fits(task))
		report_wanted(key, e);
	else if (!(e->flags & WATCH_OTHERS))
		__sync_fetch_and_or(&e->flags, WATCH_OTHERS);
}

/* A descriptor. */
struct sight {
	struct seq_file *seq;
	struct task_struct *task;
	int fd;
};

/* `began`: 0 for a listener. Not inlined: for the stack, of which 512 bytes are all. */
static __noinline int give(const struct sight *by, __u64 key, __u64 began)
{
	struct watch_owner o = { .sk = key, .began = began, .fd = by->fd };

	o.cookie = BPF_CORE_READ((const struct sock *)key, __sk_common.skc_cookie.counter);
	o.start = by->task->group_leader->start_boottime;
	o.tgid = process_of(by->task);
	name_process(by->task, o.comm);
	bpf_seq_write(by->seq, &o, sizeof(o));
	return 0;
}

/* What a descriptor leads to: where it is an end, it is matched, and its holder given. */
static __noinline int see(const struct sight *by, __u64 key)
{
	struct end *e = find_number(key);

	if (!e)
		return 0;
	if (e->flags & WATCH_WANTED)
		match(by->task, key, e);
	return e->flags & WATCH_REPORTED ? give(by, key, e->began) : 0;
}

/* So much of a queue is looked at. */
#define QUEUE_MOST 16384

/* What one walk has found in a queue that it has looked at to its end: the listener's descriptors
 * may be many. */
struct seen_queue {
	__u64 listener;
	__u32 walk;
	bool reported; /* some that wait were reported */
	bool wanted;   /* some wait for their owner to be matched */
	__u8 pad[2];
};

#define SEEN_QUEUES 64

static struct seen_queue seen_queues[SEEN_QUEUES] = {};

struct queue {
	struct sight by;
	__u64 listener;
	__u64 request; /* the next; 0: there is none */
	bool reported, wanted;
};

static __noinline int see_in_queue(struct queue *q, __u64 key)
{
	struct end *e = find_number(key);

	if (!e || !q)
		return 0;
	if (e->flags & WATCH_WANTED)
		match(q->by.task, key, e);
	q->wanted |= (e->flags & WATCH_WANTED) > 0;
	if (!(e->flags & WATCH_REPORTED))
		return 0;
	q->reported = true;
	e->listener = q->listener;
	e->waited = e->began;
	return 0;
}

/* Nobody holds the queue still: one that is accepted meanwhile may be another listener's by now.
 * Those that came by a cookie name none. */
static long see_waiting(__u32 number, struct queue *q)
{
	const struct request_sock *request = (const struct request_sock *)q->request;
	__u64 listener = (__u64)BPF_CORE_READ(request, __req_common.skc_listener);
	const struct sock *sk = BPF_CORE_READ(request, sk);

	q->request = 0;
	if (listener && listener != q->listener)
		return 1;
	if (sk && !BPF_CORE_READ(sk, sk_socket))
		see_in_queue(q, (__u64)sk);
	q->request = (__u64)BPF_CORE_READ(request, dl_next);
	return q->request ? 0 : 1;
}

static __noinline int see_queue(const struct sight *by, __u64 listener)
{
	const struct inet_connection_sock *icsk = (const struct inet_connection_sock *)listener;
	struct seen_queue *seen = &seen_queues[(listener >> 6) & (SEEN_QUEUES - 1)];
	struct queue q = { .by = *by, .listener = listener };

	q.request = (__u64)BPF_CORE_READ(icsk, icsk_accept_queue.rskq_accept_head);
	if (!q.request)
		return 0;
	if (seen->listener != listener || seen->walk != walks || seen->wanted) {
		bpf_loop(QUEUE_MOST, see_waiting, &q, 0);
		if (q.request)
			count(&counts.queues_cut);
		seen->listener = listener;
		seen->walk = walks;
		seen->reported = q.reported;
		seen->wanted = q.wanted;
	}
	return seen->reported ? give(by, listener, 0) : 0;
}

struct connection {
	struct sight by;
	struct subflows subflows;
};

static long see_subflow(__u32 number, struct connection *c)
{
	__u64 key = next_subflow(&c->subflows);

	if (!key)
		return 1;
	see(&c->by, key);
	return 0;
}

static __noinline int see_subflows(const struct sight *by, __u64 msk)
{
	struct connection c = { .by = *by, .subflows = subflows_of(msk) };

	bpf_loop(SUBFLOWS_MOST, see_subflow, &c, 0);
	return 0;
}

/* Every descriptor of every process: gives those that refer to a reported end, or to a listener
 * that one waits at, reports those that waited for their owner, and at the start takes in the
 * half-closed. */
SEC("iter/task_file")
int holders(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct sight by = { .fd = ctx->fd };
	struct socket *sock;
	struct sock *sk;

	if (!task || !file)
		return 0;
	sock = bpf_sock_from_file(file);
	if (!sock)
		return 0;
	sk = sock->sk;
	if (!sk)
		return 0;
	by.seq = ctx->meta->seq;
	by.task = task;
	if (is_mptcp(sk->sk_protocol) && sk->__sk_common.skc_state == TCP_LISTEN)
		return see_queue(&by, first_subflow((__u64)sk));
	if (is_mptcp(sk->sk_protocol))
		return see_subflows(&by, plain_number((__u64)sk));
	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	if (taking_in)
		take_in(sk);
	if (sk->__sk_common.skc_state == TCP_LISTEN)
		return see_queue(&by, plain_number((__u64)sk));
	if (!find((__u64)sk))
		return 0;
	bpf_get_socket_cookie(sk); /* is made now, where there was none */
	return see(&by, plain_number((__u64)sk));
}

struct watch_asked asked_files = {};

#define FILES_AT_ONCE 32

struct scan {
	struct file **table;
	__u64 files[FILES_AT_ONCE];
	bool found;
};

/* Not static, so that the verifier goes through its loop once, not for each of the files of each
 * turn: that took half of the time in which the watch starts. */
__noinline int is_asked(__u64 file)
{
	for (__u32 i = 0; i < WATCH_ASKED_MOST; i++) {
		if (asked_files.file[i] != file)
			continue;
		if (asked_files.mark)
			__sync_fetch_and_or(&asked_files.held, 1ULL << i);
		return i < asked_files.count;
	}
	return 0;
}

static long scan_files(__u32 number, struct scan *s)
{
	if (bpf_probe_read_kernel(s->files, sizeof(s->files), s->table + number * FILES_AT_ONCE))
		return 1;
	for (__u32 i = 0; i < FILES_AT_ONCE; i++) {
		__u64 file = s->files[i];
		__u32 bit = watch_asked_bit(file);

		if (!file || !(asked_files.filter[bit >> 6 & 63] >> (bit & 63) & 1))
			continue;
		if (is_asked(file) && !asked_files.mark) {
			s->found = true;
			return 1;
		}
	}
	return 0;
}

/* The table is read as plain memory, a hundred times faster than by the walk over descriptors,
 * which takes a reference to each file. What a process does meanwhile may be missed, as it may by
 * that. */
static __always_inline bool holds_asked(const struct task_struct *task)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct scan s = { .table = BPF_CORE_READ(table, fd) };

	if (!s.table)
		return false;
	bpf_loop(BPF_CORE_READ(table, max_fds) / FILES_AT_ONCE, scan_files, &s, 0);
	return s.found;
}

/* Gives the processes that hold one of the asked files, or, where none is asked for, those that are
 * watched. Threads that share their process's descriptors are passed over. */
SEC("iter/task")
int holding(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	__u32 number;

	if (!task)
		return 0;
	if (task->pid != task->tgid && task->files == task->group_leader->files)
		return 0;
	if (asked_files.count ? !holds_asked(task) : !owner_fits(task))
		return 0;
	number = process_of(task);
	bpf_seq_write(ctx->meta->seq, &number, sizeof(number));
	return 0;
}

/* What the watched hold without a descriptor: io_uring has tables of files of its own. Nothing
 * leads from a process there; but of whom it is known that it was told, to that it belongs, unless
 * somebody has a descriptor. So where a walk has matched what it could, the ends that are left and
 * of which one who is watched was told are claimed; user space has `holding` mark those whose files
 * are held; and the others are reported. */
struct watch_claim claims[WATCH_ASKED_MOST] = {};
__u32 claim_count = 0;

static __always_inline long claim_end(__u64 key, const struct end *e)
{
	__u32 flags = *(volatile __u32 *)&e->flags, n = claim_count;
	struct watch_claim *c = &claims[n & (WATCH_ASKED_MOST - 1)];
	const struct sock *sk = (const struct sock *)key;

	if (!key || !is_whole(flags) || !(flags & WATCH_WANTED) || !(flags & WATCH_OURS) ||
	    flags & WATCH_OTHERS)
		return 0;
	if (n >= WATCH_ASKED_MOST) {
		claimed = true;
		return 1;
	}
	c->sk = key;
	c->began = *(volatile __u64 *)&e->began;
	c->file = (__u64)BPF_CORE_READ(sk, sk_socket, file);
	if (c->file)
		claim_count = n + 1;
	return 0;
}

static long claim_place(__u32 number, void *unused)
{
	struct end *e = place(number);

	return e ? claim_end(*(volatile __u64 *)&e->sk, e) : 0;
}

static long claim_spilled(void *map, __u64 *key, struct end *e, void *unused)
{
	return claim_end(*key, e);
}

SEC("syscall")
int claim_ends(void *ctx)
{
	claim_count = 0;
	claimed = false;
	bpf_loop(PLACES, claim_place, NULL, 0);
	if (spilled)
		bpf_for_each_map_elem(&spill, claim_spilled, NULL, 0);
	return 0;
}

static long settle_claim(__u32 number, void *unused)
{
	struct watch_claim *c = &claims[number & (WATCH_ASKED_MOST - 1)];
	const struct sock *sk = (const struct sock *)c->sk;
	struct end *e;

	if (number >= claim_count)
		return 1;
	e = find_number(c->sk);
	if (!e || !is_still(e, c->sk, c->began))
		return 0;
	if (asked_files.held >> (number & 63) & 1)
		__sync_fetch_and_or(&e->flags, WATCH_OTHERS);
	else if (is_crowded())
		claimed = true;
	else if ((__u64)BPF_CORE_READ(sk, sk_socket, file) == c->file)
		report_wanted(c->sk, e); /* it was not closed meanwhile */
	return 0;
}

SEC("syscall")
int settle_claims(void *ctx)
{
	bpf_loop(WATCH_ASKED_MOST, settle_claim, NULL, 0);
	return 0;
}
