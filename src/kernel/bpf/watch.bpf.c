/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Theory of operation.
 *
 * An end enters the table (watch_table.bpf.h) when it becomes half-closed (the peer's FIN arrives:
 * CLOSE_WAIT; or its own is sent: FIN_WAIT_1), or when its connection dies under an open
 * descriptor. It leaves when it is destroyed or finished. Nearly all do so within microseconds, and
 * user space never hears of them: only the close lag is counted.
 *
 * User space runs `mature` when the oldest may be due: it looks at those that are in the table, and
 * reports those that are old enough. What was not there yet cannot be due before the threshold has
 * passed once more. So finding the overdue costs nothing per connection, and a search or two in the
 * time of a threshold, with eight glances at most of it for stacks that may be needed.
 *
 * Ten changes of state are seen of each connection whose ends are both here, between much other
 * work. What they run is kept small for the processor's caches, and what is rare lies apart.
 *
 * What must not be lost is counted where it is lost: see struct watch_counts. */
#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "watch.h"
#include "watch_age.h"
#include "watch_kernel.bpf.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* Each is one idea, and leans on those before it. */
/* clang-format off */
#include "watch_maps.bpf.h"
#include "watch_table.bpf.h"
#include "watch_process.bpf.h"
#include "watch_filter.bpf.h"
#include "watch_stack.bpf.h"
#include "watch_event.bpf.h"
#include "watch_lag.bpf.h"
#include "watch_mptcp.bpf.h"
/* clang-format on */

/* Not inlined: rare. Such an end changes its state no more: only on_destroy sees it go. Most
 * machines have none, and need not run it for every connection. User space is woken to attach it.
 */
static __noinline int note_death(struct end *e, const struct sock *sk)
{
	static const __u64 nothing = 0;

	if (!e)
		return 0;
	e->error = sk->sk_err;
	e->inode = socket_inode(sk);
	if (wants_destroy)
		return 0;
	wants_destroy = true;
	bpf_ringbuf_output(&events, (void *)&nothing, sizeof(nothing), BPF_RB_FORCE_WAKEUP);
	return 0;
}

static __always_inline void fill(struct end *e, const struct sock *sk, const struct tcp_sock *tp,
				 __u64 since, __u32 flags)
{
	if (flags & WATCH_DEAD)
		note_death(e, sk);
	e->began = e->since = since;
	e->close_at = flags & (WATCH_HOLDER | WATCH_DEAD) ? 0 : since;
	e->told_at = 0;
	e->read_seq = tp->copied_seq;
	e->write_seq = tp->write_seq;
}

/* A place for the end, where it is one that is wanted; else NULL. */
static __always_inline struct end *claim_for(const struct sock *sk, const struct tcp_sock *tp,
					     __u32 *number)
{
	struct end *e;

	if (!port_fits(sk, tp) || !cgroup_fits(sk))
		return NULL;
	e = claim((__u64)sk, number);
	if (!e)
		count(&counts.untracked);
	return e;
}

static __always_inline void count_start(void)
{
	count(&started[bpf_get_smp_processor_id() & (WATCH_CPUS - 1)].n);
}

static __always_inline void begin(struct sock *sk, const struct tcp_sock *tp, __u64 since,
				  __u32 flags)
{
	__u32 number;
	struct end *e = claim_for(sk, tp, &number);

	if (!e)
		return;
	fill(e, sk, tp, since, flags);
	publish(e, flags, number);
	count_start();
}

/* An end is followed within so much, ns, of the moment since when it is one. */
#define FOLLOWED_BY 1000000000ULL

/* The same without the socket's lock. Where somebody who has it is faster, that is the end's death,
 * which dead_after() has told all of. */
static __always_inline void begin_unlocked(struct sock *sk, const struct tcp_sock *tp, __u64 since,
					   __u32 flags)
{
	__u64 key = (__u64)sk;
	__u32 number;
	struct end *e = claim_for(sk, tp, &number);

	if (!e || !seize_claimed(e, key))
		return;
	fill(e, sk, tp, since, flags);
	if (!publish_seized(e, key, flags, number))
		return;
	count_start();
	if (auditing && since + FOLLOWED_BY < bpf_ktime_get_ns())
		count(&counts.unheard);
}

/* Of one that was reported, or waited for its owner. Not inlined: rare. */
static __noinline int settle_account(const struct end *e, __u32 flags)
{
	if (e && flags & WATCH_REPORTED)
		emit(WATCH_END, e, 0);
	if (flags & WATCH_WANTED && !(flags & WATCH_FINISHED))
		__sync_fetch_and_add(&wanted, -1);
	return 0;
}

/* Of this and report(), which other CPUs may run at the same time, one sees the other's bit: an end
 * that was reported is always followed by its end. */
static __always_inline void finish(__u64 key, struct end *e)
{
	__u32 flags = __sync_fetch_and_or(&e->flags, WATCH_FINISHED);

	if (flags & (WATCH_REPORTED | WATCH_WANTED))
		settle_account(e, flags);
	if (!(flags & WATCH_SEIZED))
		remove(key);
}

/* The same without the socket's lock; returns whether it did: not where it is finished just now, or
 * was since it was found. Not inlined: rare. */
static __noinline int put_out(struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct end *e = find(key), now;
	__u32 flags;

	if (!e)
		return 0;
	now = *e;
	flags = now.flags;
	if (!is_whole(flags) || !seize(e, key, flags))
		return 0;
	now.flags |= WATCH_FINISHED;
	settle_account(&now, flags);
	remove(key);
	return 1;
}

/* The peer's FIN has come, or ours goes. Of a FIN that came the time is what TCP read of the clock
 * for its segment, or for the one that filled the gap before it. A connection whose FIN came with
 * its SYN has no such time yet. */
static __always_inline void on_half_closed(struct sock *sk, int old, int new)
{
	struct tcp_sock *tp = as_tcp(sk);
	bool came = new == TCP_CLOSE_WAIT;

	if (tp)
		begin(sk, tp,
		      came && old == TCP_ESTABLISHED ? tp->tcp_clock_cache : bpf_ktime_get_ns(),
		      came ? WATCH_HOLDER : WATCH_CLOSED);
}

static __always_inline void on_fin_sent(struct sock *sk)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 key = (__u64)sk, now;
	struct end *e = find(key);

	if (!e || !is_known(e->flags))
		return;
	now = bpf_ktime_get_ns();
	e->close_at = now;
	__sync_fetch_and_or(&e->flags,
			    task->flags & PF_EXITING ? WATCH_CLOSED | WATCH_EXITING : WATCH_CLOSED);
	if (!(e->flags & (WATCH_TAKEN_IN | WATCH_SEIZED)) && owner_fits(task))
		count_lag(sk, e, now, task);
	if (e->flags & WATCH_REPORTED)
		emit(WATCH_NEWS, e, 0);
}

/* What its last state tells of one that is not followed: it was half-closed before the watch began.
 */
static __always_inline __u32 dead_after(int state)
{
	switch (state) {
	case TCP_CLOSE_WAIT:
	case TCP_LAST_ACK:
		return WATCH_DEAD | WATCH_HOLDER | WATCH_TAKEN_IN | WATCH_EXACT;
	case TCP_FIN_WAIT1:
	case TCP_FIN_WAIT2:
	case TCP_CLOSING:
		return WATCH_DEAD | WATCH_CLOSED | WATCH_TAKEN_IN | WATCH_EXACT;
	default:
		return WATCH_DEAD;
	}
}

/* Not inlined: rare. */
static __noinline int on_died(struct sock *sk, int old)
{
	__u64 key = (__u64)sk;
	struct end *e = find(key);
	struct tcp_sock *tp;

	if (!e || !is_known(e->flags)) {
		tp = as_tcp(sk);
		if (tp)
			begin(sk, tp, bpf_ktime_get_ns(), dead_after(old));
		return 0;
	}
	e->since = bpf_ktime_get_ns();
	note_death(e, sk);
	__sync_fetch_and_or(&e->flags, WATCH_DEAD);
	if (e->flags & WATCH_REPORTED)
		emit(WATCH_NEWS, e, 0);
	return 0;
}

/* The state is CLOSE: finished where nobody holds the socket any more, else dead from now on. */
static __always_inline void on_closed(struct sock *sk, int old)
{
	__u64 key = (__u64)sk;
	struct end *e;

	if (!(sk->__sk_common.skc_flags & SOCK_DEAD_BIT)) {
		on_died(sk, old);
		return;
	}
	e = find(key);
	if (e)
		finish(key, e);
}

/* Not inlined: rare. A dead one that is disconnected may connect again, or listen: then that end is
 * over, and what comes is another. */
static __noinline int on_used_again(struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct end *e = find(key);

	if (e)
		finish(key, e);
	return 0;
}

/* clang-format off */
#include "watch_reads.bpf.h"
#include "watch_walk.bpf.h"
#include "watch_holders.bpf.h"
/* clang-format on */

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state, struct sock *sk, int old, int new)
{
	switch (new) {
	case TCP_LISTEN:
		if (wants_destroy)
			on_used_again(sk);
		break;
	case TCP_SYN_SENT: /* in the context of connect() */
		if (wants_destroy)
			on_used_again(sk);
		if (suspecting)
			record_if_suspect((__u64)sk);
		break;
	/* close() after shutdown() sets the state that it has again. */
	case TCP_CLOSE_WAIT:
	case TCP_FIN_WAIT1:
		if (old != new)
			on_half_closed(sk, old, new);
		break;
	case TCP_LAST_ACK:
		if (old != new)
			on_fin_sent(sk);
		break;
	case TCP_CLOSE:
		if (old != TCP_LISTEN && old != TCP_SYN_SENT && old != TCP_CLOSE)
			on_closed(sk, old);
		break;
	default:
		break;
	}
	return 0;
}

/* Attached once an end is dead, is to be reported, or there is a suspect. */
SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(on_destroy, struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct end *e = find(key);

	if (e)
		finish(key, e);
	if (suspecting)
		bpf_map_delete_elem(&made, &key);
	return 0;
}

/* Where accepted sockets are made. Attached only once there is a suspect. */
SEC("fexit/inet_accept")
int BPF_PROG(on_accept, struct socket *listener, struct socket *accepted)
{
	__u64 ret;

	if (!bpf_get_func_ret(ctx, &ret) && !(int)ret && is_suspect())
		record_made((__u64)BPF_CORE_READ(accepted, sk));
	return 0;
}

/* The same where the kernel lets no functions be traced: it costs every system call of the machine
 * some time. */
SEC("tp_btf/sys_exit")
int BPF_PROG(on_accept_exit, struct pt_regs *regs, long ret)
{
	int number = syscall_number(regs);
	__u64 sk;

	if ((number != NR_ACCEPT && number != NR_ACCEPT4) || ret < 0 || is_compat_call() ||
	    !is_suspect())
		return 0;
	sk = socket_of(ret);
	if (sk)
		record_made(sk);
	return 0;
}

/* Children of the watched are watched. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	if (parent->tgid != child->tgid && is_watched(parent))
		watch_process(child);
	return 0;
}

/* It has let go of its number some time ago, which may be another's that is watched. */
SEC("tp_btf/sched_process_free")
int BPF_PROG(on_free, struct task_struct *task)
{
	__u32 tgid = task->tgid;

	if (task->pid == task->tgid && is_watched(task))
		bpf_map_delete_elem(&pids, &tgid);
	return 0;
}
