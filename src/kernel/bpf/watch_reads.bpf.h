/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Reads that returned 0: the program was told. */
#pragma once

/* A read of a socket in CLOSE_WAIT returned 0, in the reader's context. The socket is not locked
 * any more: of several readers that are told at once, the first to set the time is the one. */
static __always_inline void on_told(__u64 key, struct end *e)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 flags = WATCH_TOLD, was;

	if (e->told_at || __sync_val_compare_and_swap(&e->told_at, 0, bpf_ktime_get_ns()))
		return;
	if (owner_fits(task)) {
		e->told_site = take_site(task);
		flags |= WATCH_OURS;
	}
	e->told_tgid = process_of(task);
	e->told_tid = number_of(task);
	copy_comm(e->told_comm, task);
	was = __sync_fetch_and_or(&e->flags, flags);
	if (was & WATCH_WANTED)
		claimed = true;
	if (was & WATCH_REPORTED)
		emit(WATCH_NEWS, e, 0);
}

static long tell_subflow(__u32 number, struct subflows *s)
{
	__u64 key = next_subflow(s);
	struct end *e;

	if (!key)
		return 1;
	e = find_number(key);
	if (e && e->flags & WATCH_HOLDER)
		on_told(key, e);
	return 0;
}

/* A read returned 0, and what was read was no TCP socket. Not inlined: rare. */
static __noinline int on_read_of_another(__u64 key)
{
	const struct sock *sk = (const struct sock *)key;
	struct subflows s;

	if (!is_mptcp(BPF_CORE_READ(sk, sk_protocol)) ||
	    BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_CLOSE_WAIT || !is_read_to_the_end(key))
		return 0;
	s = subflows_of(key);
	bpf_loop(SUBFLOWS_MOST, tell_subflow, &s, 0);
	return 0;
}

/* 0 is also the answer to a peek, and to a read of no bytes: those tell nothing unless everything
 * has been read. */
static __always_inline void on_read(struct sock *sk, int ret, int flags)
{
	__u64 key = (__u64)sk;
	struct end *e;
	struct tcp_sock *tp;

	if (ret != 0 || sk->__sk_common.skc_state != TCP_CLOSE_WAIT ||
	    flags & (MSG_ERRQUEUE | MSG_PEEK))
		return;
	tp = as_tcp(sk);
	if (!tp) {
		on_read_of_another(plain_number(key));
		return;
	}
	if (tp->copied_seq != tp->rcv_nxt)
		return;
	e = find(key);
	if (e)
		on_told(key, e);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(on_recv_length, struct sock *sk, int ret, int flags)
{
	on_read(sk, ret, flags);
	return 0;
}

/* Before Linux 6.3: the return of tcp_recvmsg(), where the kernel lets functions be traced. */
SEC("fexit/tcp_recvmsg")
int BPF_PROG(on_recvmsg, struct sock *sk, struct msghdr *msg, size_t len, int flags, int *addr_len,
	     int ret)
{
	on_read(sk, ret, flags);
	return 0;
}

SEC("fexit/mptcp_recvmsg")
int BPF_PROG(on_mptcp_recvmsg, struct sock *sk, struct msghdr *msg, size_t len, int flags,
	     int *addr_len, int ret)
{
	on_read(sk, ret, flags);
	return 0;
}

/* The arguments of a read call say whether its 0 may be the end of a stream. */
static __always_inline bool may_be_the_end(const struct pt_regs *regs)
{
	int number = syscall_number(regs);
	__u64 len, flags;

#ifdef __TARGET_ARCH_arm64
	len = regs->regs[2];
	flags = number == NR_RECVMSG ? regs->regs[2] : regs->regs[3];
#else
	len = regs->dx;
	flags = number == NR_RECVMSG ? regs->dx : regs->r10;
#endif
	switch (number) {
	case NR_READ:
		return len > 0;
	case NR_READV:
	case NR_PREADV2: /* of a socket it is the same; preadv() refuses one */
		return true;
	case NR_RECVFROM:
	case NR_RECVMSG:
		return !(flags & (MSG_PEEK | MSG_ERRQUEUE));
	default:
		return false;
	}
}

static __always_inline int first_argument(const struct pt_regs *regs)
{
#ifdef __TARGET_ARCH_arm64
	/* Its register holds the return value by now; the kernel keeps a copy. */
	return regs->orig_x0;
#else
	return regs->di;
#endif
}

/* Where neither can be had: the return of the read calls. io_uring's reads make none. */
SEC("tp_btf/sys_exit")
int BPF_PROG(on_read_exit, struct pt_regs *regs, long ret)
{
	struct end *e;
	struct tcp_sock *tp;
	__u64 key;

	if (ret != 0 || !may_be_the_end(regs) || is_compat_call())
		return 0;
	key = socket_of(first_argument(regs));
	if (!key)
		return 0;
	e = find_number(key);
	if (!e)
		return on_read_of_another(key);
	tp = (struct tcp_sock *)key;
	if (BPF_CORE_READ((struct sock *)key, __sk_common.skc_state) == TCP_CLOSE_WAIT &&
	    BPF_CORE_READ(tp, copied_seq) == BPF_CORE_READ(tp, rcv_nxt))
		on_told(key, e);
	return 0;
}

/* Not inlined: rare. */
static __noinline int on_spliced(__u64 key, struct end *e)
{
	if (e)
		on_told(key, e);
	return 0;
}

/* splice() and sendfile() from a socket pass sock_recv_length by. tcp_read_sock() calls
 * tcp_rcv_space_adjust() each time, also where it found nothing but the FIN; recvmsg() calls it
 * only after it copied data, before it moves past the FIN. So everything read and nothing but the
 * FIN gained since the last time means a splice that returned 0. */
SEC("tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(on_space, struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct end *e;
	struct tcp_sock *tp;

	if (sk->__sk_common.skc_state != TCP_CLOSE_WAIT)
		return 0;
	tp = as_tcp(sk);
	if (!tp)
		return 0;
	e = find(key);
	if (!e)
		return 0;
	if (tp->copied_seq == tp->rcv_nxt && tp->copied_seq - e->read_seq <= 1)
		on_spliced(key, e);
	e->read_seq = tp->copied_seq;
	return 0;
}
