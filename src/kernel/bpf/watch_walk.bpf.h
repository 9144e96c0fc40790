/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* What user space runs: walks over sockets and processes, and the search for what has come due. */
#pragma once

struct walk {
	struct watch_turn turn;
	__u64 word; /* of `live` */
	__u32 base; /* the word's first place */
};

/* Those that need not be looked at. */
#define SETTLED (WATCH_REPORTED | WATCH_WANTED)

/* The end that was looked at is still the one in its place. */
static __always_inline bool is_still(struct end *e, __u64 key, __u64 began)
{
	return *(volatile __u64 *)&e->sk == key && *(volatile __u64 *)&e->began == began;
}

static __always_inline bool is_half_closed(int state)
{
	return state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSE_WAIT ||
	       state == TCP_LAST_ACK || state == TCP_CLOSING;
}

/* Of a closed one: whether it has no peer any more. It was dissolved: by its program, which keeps
 * the socket to use it again, or by the kernel, as its listener was closed (inet_child_forget()).
 */
static __always_inline bool is_dissolved(const struct sock *sk)
{
	return !BPF_CORE_READ(sk, __sk_common.skc_dport);
}

/* Whether its socket is no longer what the end was: then its end was not seen, or comes just now.
 * Of the dead it may be that they were closed before on_destroy was attached. Once it is, one that
 * is still held here is seen to go. */
static __always_inline bool is_gone(__u64 key, const struct end *e)
{
	const struct sock *sk = (const struct sock *)key;
	int state = BPF_CORE_READ(sk, __sk_common.skc_state);

	if (!(e->flags & WATCH_DEAD))
		return !is_half_closed(state);
	return state != TCP_CLOSE || is_dissolved(sk) || (e->inode && socket_inode(sk) != e->inode);
}

/* Nobody holds the end still meanwhile: it may finish, and its place have another, at any step.
 * What was set on another is taken back. Not inlined: for the stack. */
static __noinline int send_report(__u64 key, struct end *e, __u64 began)
{
	__u32 flags = __sync_fetch_and_or(&e->flags, WATCH_REPORTED);
	struct end now = *e;

	if (flags & (WATCH_FINISHED | WATCH_REPORTED))
		return 0;
	if (!is_still(e, key, began)) {
		__sync_fetch_and_and(&e->flags, ~WATCH_REPORTED);
		return 0;
	}
	emit(WATCH_REPORT, &now, BPF_RB_NO_WAKEUP);
	flags = *(volatile __u32 *)&e->flags;
	if (is_still(e, key, began) && !(flags & WATCH_FINISHED)) {
		if (!(flags & ~now.flags & (WATCH_TOLD | WATCH_CLOSED | WATCH_DEAD)))
			return 0;
		/* The news of it may have been sent before its report was. */
		now = *e;
		return is_still(e, key, began) ? emit(WATCH_NEWS, &now, BPF_RB_NO_WAKEUP) : 0;
	}
	/* Its end may have been sent before its report was. */
	now.flags |= WATCH_FINISHED;
	return emit(WATCH_END, &now, BPF_RB_NO_WAKEUP);
}

/* `wanted` is counted up first, since whoever finishes the end counts it down. */
static __always_inline void want(__u64 key, struct end *e, __u64 began)
{
	__u32 flags;

	__sync_fetch_and_add(&wanted, 1);
	flags = __sync_fetch_and_or(&e->flags, WATCH_WANTED);
	if (flags & WATCH_OURS)
		claimed = true;
	if (flags & (WATCH_FINISHED | WATCH_WANTED)) {
		__sync_fetch_and_add(&wanted, -1);
		return;
	}
	if (is_still(e, key, began))
		return;
	flags = __sync_fetch_and_and(&e->flags, ~WATCH_WANTED);
	if (flags & WATCH_WANTED && !(flags & WATCH_FINISHED))
		__sync_fetch_and_add(&wanted, -1);
}

/* Whether the buffer holds so much that a report is better left for the next walk: one descriptor,
 * of a listener, may bring about thousands. */
static __always_inline bool is_crowded(void)
{
	if (bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) <=
	    bpf_ringbuf_query(&events, BPF_RB_RING_SIZE) / 2)
		return false;
	crowded = true;
	return true;
}

/* The owner of a wanted end is one of the watched. One whose end comes, or that dies, at this
 * moment is not yet what it will be, and stays wanted: no search looks at it again. */
static __always_inline void report_wanted(__u64 key, struct end *e)
{
	bool gone = is_gone(key, e);
	__u32 flags;

	if (is_crowded())
		return;
	if (gone && !is_dissolved((const struct sock *)key))
		return;
	flags = __sync_fetch_and_and(&e->flags, ~WATCH_WANTED);
	if (!(flags & WATCH_WANTED) || flags & WATCH_FINISHED)
		return;
	__sync_fetch_and_add(&wanted, -1);
	if (!gone)
		send_report(key, e, e->began);
}

static __always_inline __u64 fin_came(const struct tcp_sock *tp, __u32 *flags)
{
	struct watch_stamps s = { .clock = tp->tcp_mstamp * 1000, .ack = tp->rcv_tstamp };
	__u64 since;

	s.last = tp->snd_wl1 != tp->rcv_nxt; /* sockets.bpf.c says why */
	s.jiffies = (__u32)bpf_jiffies64();
	s.now = bpf_ktime_get_ns();
	s.tick = rules.tick;
	if (watch_fin_came(&s, &since))
		*flags |= WATCH_EXACT;
	return since;
}

/* Whether the end is not this socket's, but that of one before it at this address, whose end was
 * missed: the side that closed first is the other one, or more was written since than ever was.
 * `state` was read before the end was found, and the socket may change at any step: an end may be
 * there before the state that it comes with, and what was acknowledged may be counted in a moment.
 */
static __always_inline bool is_another(const struct end *e, const struct tcp_sock *tp, int state)
{
	bool holder = e->flags & WATCH_HOLDER;
	__u32 unacked_from = *(volatile __u32 *)&tp->snd_una;
	__u64 acked = *(volatile __u64 *)&tp->bytes_acked;
	__u32 written = *(volatile __u32 *)&tp->write_seq;

	if (!is_half_closed(state))
		return false;
	if (holder != (state == TCP_CLOSE_WAIT || state == TCP_LAST_ACK))
		return true;
	/* The two: SYN and FIN. */
	return written - e->write_seq > acked + (__u32)(written - unacked_from) + 2;
}

/* Follows an end that was half-closed already. Since when is not always known: at least since the
 * last packet came or went, which the socket's clock remembers. */
static __always_inline void take_in(struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	__u8 state = sk->__sk_common.skc_state;
	__u64 since = tp ? tp->tcp_mstamp * 1000 : 0;
	__u32 flags = WATCH_TAKEN_IN;
	struct end *e;

	if (!tp)
		return;
	e = find(key);
	/* One that is not whole is being filled, or finished. */
	if (e && (!is_whole(e->flags) || !is_another(e, tp, state) || !put_out(sk)))
		return;
	if (state == TCP_CLOSE) {
		if (sk->__sk_common.skc_flags & SOCK_DEAD_BIT) /* closed meanwhile */
			return;
		/* Never was connected: its SYN was not acknowledged, and it is none that was
		 * accepted. Refusals are segments, too. */
		if (!tp->bytes_acked && !tp->bytes_received &&
		    (tp->segs_in <= 1 || !sk->sk_max_ack_backlog))
			return;
		/* tcp_reset() says EPIPE where the peer's FIN had come before, and ours not. */
		flags |= sk->sk_err == EPIPE ? WATCH_DEAD | WATCH_HOLDER : WATCH_DEAD;
	} else if (!is_half_closed(state)) {
		return;
	} else if (state == TCP_CLOSE_WAIT) {
		flags |= WATCH_HOLDER;
		since = fin_came(tp, &flags);
	} else {
		/* The only way to LAST_ACK is through CLOSE_WAIT. */
		flags |= state == TCP_LAST_ACK ? WATCH_HOLDER | WATCH_CLOSED : WATCH_CLOSED;
	}
	if (since >= taking_since)
		begin_unlocked(sk, tp, since, flags);
}

/* User space runs it: where its own pid namespace lies, of which a process has its last number.
 * Returns whether that is the one of the rules. */
SEC("syscall")
int find_pidns(void *ctx)
{
	const struct pid *pid = BPF_CORE_READ(bpf_get_current_task_btf(), thread_pid);

	pidns_level = BPF_CORE_READ(pid, level);
	return rules.pidns ? number_at(pid, pidns_level) > 0 : pidns_level == 0;
}

__u32 asked = 0; /* the process that is to be watched, as user space numbers it; 0: none */
__u32 left = 0;  /* those that are, and still run, are added */

/* Only the kernel knows when a process started, to the nanosecond, and in a pid namespace what
 * number it has outside. */
SEC("iter/task")
int processes(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task || task->pid != task->tgid)
		return 0;
	if (!asked)
		left += is_watched(task) && BPF_CORE_READ(task, signal, live.counter) > 0;
	else if (number_of(task) == asked)
		watch_process(task);
	return 0;
}

/* Every TCP socket of one network namespace: takes in what no descriptor refers to, above all what
 * waits in an accept queue. */
SEC("iter/tcp")
int sockets(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct tcp_sock *tp;

	if (!skc)
		return 0;
	tp = bpf_skc_to_tcp_sock(skc);
	if (tp)
		take_in((struct sock *)tp);
	return 0;
}

static __always_inline void mark_site(__u32 site)
{
	marked[site % WATCH_SITES / 64] |= 1ULL << (site & 63);
}

/* That the files which its stacks need are read before it comes due. Most connections have closed
 * long before. Not inlined: rare. */
static __noinline int mark_stacks(__u64 key, const struct end *e)
{
	__u32 *site;

	if (!e)
		return 0;
	if (e->flags & WATCH_TOLD && e->told_site)
		mark_site(e->told_site);
	site = suspecting ? bpf_map_lookup_elem(&made, &key) : NULL;
	if (site)
		mark_site(*site);
	return 0;
}

/* Returns whether the search is over for lack of room. */
static __always_inline bool look_at(__u64 key, struct end *e, struct watch_turn *turn)
{
	__u64 began = *(volatile __u64 *)&e->began, due = e->since + rules.after;

	if (due > turn->now) {
		if (e->since + turn->ahead <= turn->now)
			mark_stacks(key, e);
		if (due < turn->next)
			turn->next = due;
		return false;
	}
	if (!has_destroy) { /* nothing is reported whose end might not be seen */
		wants_destroy = true;
		turn->next = turn->now;
		return false;
	}
	if (is_gone(key, e))
		return false;
	if (turn->reported >= turn->room) {
		turn->more = 1;
		return true;
	}
	turn->reported++;
	if (rules.by_owner)
		want(key, e, began);
	else
		send_report(key, e, began);
	return false;
}

/* The place need not be looked at, unless it changes meanwhile. */
static __always_inline void settle(__u32 number, struct end *e)
{
	__u64 bit = 1ULL << (number & 63), *word, sk;
	__u32 flags;

	number >>= 6;
	word = bpf_map_lookup_elem(&live, &number);
	if (!word)
		return;
	__sync_fetch_and_and(word, ~bit);
	sk = *(volatile __u64 *)&e->sk;
	flags = *(volatile __u32 *)&e->flags;
	if (sk && !(is_whole(flags) && flags & SETTLED))
		__sync_fetch_and_or(word, bit);
}

/* One that user space wants to hear of again. It may finish at any step: what is sent then comes
 * after its end, or is of an end that user space does not know. User space runs it. */
SEC("syscall")
int look_again(struct watch_look *ctx)
{
	__u64 key = ctx->sk, began = ctx->began;
	struct end *e = find_number(key), now;

	if (!e)
		return 0;
	now = *e;
	if (is_whole(now.flags) && now.flags & WATCH_REPORTED && now.began == began)
		emit(WATCH_LOOK, &now, BPF_RB_NO_WAKEUP);
	return 0;
}

/* User space runs it for one that waited to be accepted when it was reported. */
SEC("syscall")
int waits_at(struct watch_waiting *ctx)
{
	__u64 key = ctx->sk, began = ctx->began;
	struct end *e = find_number(key);

	ctx->listener = e && e->sk == key && e->began == began && e->waited == began ? e->listener
										     : 0;
	return 0;
}

static long look_at_place(__u32 bit, struct walk *w)
{
	struct end *e;
	__u32 flags;
	__u64 sk;

	if (!(w->word >> (bit & 63) & 1))
		return 0;
	e = place(w->base + bit);
	if (!e)
		return 0;
	sk = *(volatile __u64 *)&e->sk;
	flags = *(volatile __u32 *)&e->flags;
	if (!sk || (is_whole(flags) && flags & SETTLED))
		settle(w->base + bit, e);
	else if (is_whole(flags))
		return look_at(sk, e, &w->turn);
	return 0;
}

static long look_at_word(__u32 i, struct walk *w)
{
	__u64 *word = bpf_map_lookup_elem(&live, &i);

	if (!word)
		return 0;
	w->word = *word;
	if (!w->word)
		return 0;
	w->base = i * 64;
	bpf_loop(64, look_at_place, w, 0);
	return w->turn.more ? 1 : 0;
}

static long look_at_spilled(void *map, __u64 *key, struct end *e, struct walk *w)
{
	if (!is_whole(e->flags) || e->flags & SETTLED)
		return 0;
	return look_at(*key, e, &w->turn);
}

/* One search for what has come due. User space runs it. */
SEC("syscall")
int mature(struct watch_turn *ctx)
{
	struct walk w = { .turn.room = ctx->room, .turn.ahead = ctx->ahead };

	w.turn.now = bpf_ktime_get_ns();
	w.turn.next = w.turn.now + rules.after;
	bpf_loop(PLACES / 64, look_at_word, &w, 0);
	if (spilled && !ctx->but_spilled && !w.turn.more)
		bpf_for_each_map_elem(&spill, look_at_spilled, &w, 0);
	ctx->reported = w.turn.reported;
	ctx->more = w.turn.more;
	ctx->next = w.turn.next;
	ctx->now = w.turn.now;
	ctx->jiffies = bpf_jiffies64();
	ctx->wanted = wanted;
	return 0;
}
