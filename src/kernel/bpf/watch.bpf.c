/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Theory of operation.
 *
 * An end enters the table `conns` when it becomes half-closed (the peer's FIN arrives: CLOSE_WAIT;
 * or its own is sent: FIN_WAIT_1), or when its connection dies under an open descriptor. It leaves
 * when it is destroyed or finished. Nearly all do so within microseconds, and user space never
 * hears of them: only the close lag is counted.
 *
 * Every end that enters is also put in `queue`, in order of time. User space runs `mature` when the
 * oldest is due: it takes from the queue all that are old enough, and reports those that are still
 * in the table. So finding the overdue costs nothing per connection that is tracked. A queue that
 * was overrun only means that the next turn walks the table instead.
 *
 * What must not be lost is counted where it is lost: see struct watch_counts. */
#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "watch.h"

#define AF_INET       2
#define AF_INET6      10
#define IPPROTO_TCP   6
#define IPPROTO_MPTCP 262
#define MSG_PEEK      2
#define MSG_ERRQUEUE  0x2000
#define PF_EXITING    4
#define EPIPE         32
#define SOCK_DEAD_BIT 1UL /* 1 << SOCK_DEAD of enum sock_flags */

#define S_IFMT   0170000
#define S_IFSOCK 0140000
#ifdef __TARGET_ARCH_arm64
#define NR_ACCEPT   202
#define NR_ACCEPT4  242
#define NR_READ     63
#define NR_READV    65
#define NR_RECVFROM 207
#define NR_RECVMSG  212
#else
#define NR_ACCEPT   43
#define NR_ACCEPT4  288
#define NR_READ     0
#define NR_READV    19
#define NR_RECVFROM 45
#define NR_RECVMSG  47
#endif

/* include/net/tcp_states.h */
enum {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT,
	TCP_SYN_RECV,
	TCP_FIN_WAIT1,
	TCP_FIN_WAIT2,
	TCP_TIME_WAIT,
	TCP_CLOSE,
	TCP_CLOSE_WAIT,
	TCP_LAST_ACK,
	TCP_LISTEN,
	TCP_CLOSING,
};

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#include "watch_maps.bpf.h"

static __always_inline bool owner_fits(struct task_struct *task)
{
	__u32 tgid = task->tgid, states = GLOB_START;
	char comm[WATCH_COMM];

	if (!rules.by_owner || bpf_map_lookup_elem(&pids, &tgid))
		return true;
	if (!rules.by_name || bpf_probe_read_kernel(comm, sizeof(comm), task->group_leader->comm))
		return false;
	for (int i = 0; i < WATCH_COMM && comm[i]; i++)
		states = GLOB_STEP(&rules.name, states, comm[i]);
	return states & rules.name.end;
}

/* Deepest pid namespace that is told apart; the kernel allows 32. */
#define PIDNS_DEPTH 8

/* The task's number in the pid namespace of user space; 0: it has none there. */
static __always_inline __u32 number_of(const struct task_struct *task)
{
	const struct pid *pid;
	struct upid id;
	__u32 level;

	if (!rules.pidns)
		return BPF_CORE_READ(task, pid);
	pid = BPF_CORE_READ(task, thread_pid);
	level = pid ? BPF_CORE_READ(pid, level) : 0;
	for (__u32 i = 1; i <= level && i < PIDNS_DEPTH; i++) {
		if (bpf_probe_read_kernel(&id, sizeof(id),
					  (const char *)pid +
						  bpf_core_field_offset(struct pid, numbers) +
						  i * sizeof(id)))
			break;
		if (BPF_CORE_READ(id.ns, ns.inum) == rules.pidns)
			return id.nr;
	}
	return 0;
}

static __always_inline __u32 process_of(const struct task_struct *task)
{
	return rules.pidns ? number_of(BPF_CORE_READ(task, group_leader))
			   : BPF_CORE_READ(task, tgid);
}

#include "watch_stack.bpf.h"

static __always_inline __u64 socket_inode(const struct sock *sk)
{
	const struct socket_alloc *both = (const void *)BPF_CORE_READ(sk, sk_socket);

	return both ? BPF_CORE_READ(both, vfs_inode.i_ino) : 0;
}

/* Who the end is. Its own port comes from inet_sport: a closed socket has let go of skc_num. */
static __always_inline void describe(struct watch_event *e, const struct sock *sk)
{
	const struct inet_sock *inet = (const struct inet_sock *)sk;

	e->cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	e->cgroup = BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn, id);
	e->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	e->local_port = bpf_ntohs(BPF_CORE_READ(inet, inet_sport));
	e->peer_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (e->family == AF_INET) {
		BPF_CORE_READ_INTO((__be32 *)e->local, sk, __sk_common.skc_rcv_saddr);
		BPF_CORE_READ_INTO((__be32 *)e->peer, sk, __sk_common.skc_daddr);
	} else {
		BPF_CORE_READ_INTO(&e->local, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&e->peer, sk, __sk_common.skc_v6_daddr);
	}
}

/* Sends an event about `c`. Not inlined where it need not be: it is big, and rare. */
static __noinline int emit(__u32 kind, __u64 key, const struct watch_conn *c, __u64 wake)
{
	const struct sock *sk = (const struct sock *)key;
	const struct tcp_sock *tp = (const struct tcp_sock *)key;
	struct watch_event *e;

	if (kind >= WATCH_KINDS || !c)
		return 0;
	count(&counts.emitted[kind]);
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count(&counts.lost[kind]);
		return 0;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->kind = kind;
	e->sk = key;
	e->at = bpf_ktime_get_ns();
	e->conn = *c;
	e->state = BPF_CORE_READ(sk, __sk_common.skc_state);
	e->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	e->unread = BPF_CORE_READ(tp, rcv_nxt) - BPF_CORE_READ(tp, copied_seq);
	e->unacked = BPF_CORE_READ(tp, write_seq) - BPF_CORE_READ(tp, snd_una);
	e->unsent = BPF_CORE_READ(tp, write_seq) - BPF_CORE_READ(tp, snd_nxt);
	e->sent = BPF_CORE_READ(tp, write_seq) - c->write_seq;
	e->sent_jiffies = (__u32)bpf_jiffies64() - BPF_CORE_READ(tp, lsndtime);
	e->received = BPF_CORE_READ(tp, rcv_nxt) - c->read_seq;
	e->recv_jiffies = (__u32)bpf_jiffies64() - BPF_CORE_READ(tp, inet_conn.icsk_ack.lrcvtime);
	e->peer_window = BPF_CORE_READ(tp, snd_wnd);
	e->retransmits = BPF_CORE_READ(tp, inet_conn.icsk_retransmits);
	e->inode = socket_inode(sk);
	e->accepted = BPF_CORE_READ(sk, sk_max_ack_backlog) > 0;
	if (kind == WATCH_REPORT)
		describe(e, sk);
	bpf_ringbuf_submit(e, wake);
	return 0;
}

static __always_inline void enqueue(__u64 key, __u64 since)
{
	__u64 number = __sync_fetch_and_add(&queue_head, 1);
	__u32 at = number & (WATCH_QUEUE - 1);
	struct slot *s = bpf_map_lookup_elem(&queue, &at);

	if (!s)
		return;
	s->number = 0;
	s->sk = key;
	s->since = since;
	barrier();
	*(volatile __u64 *)&s->number = number + 1;
}

/* A closed socket has let go of skc_num, but not of inet_sport. */
static __always_inline bool port_fits(const struct sock *sk, const struct tcp_sock *tp)
{
	__u16 port = bpf_htons(rules.port);

	return !port || tp->inet_conn.icsk_inet.inet_sport == port ||
	       sk->__sk_common.skc_dport == port;
}

#define CGROUP_DEPTH 16

/* The socket's cgroup is the wanted one or lies below it. */
static __always_inline bool cgroup_fits(const struct sock *sk)
{
	struct cgroup *at;

	if (!rules.cgroup)
		return true;
	at = BPF_CORE_READ(sk, sk_cgrp_data.cgroup);
	for (int i = 0; i < CGROUP_DEPTH && at; i++) {
		if (BPF_CORE_READ(at, kn, id) == rules.cgroup)
			return true;
		at = (struct cgroup *)BPF_CORE_READ(at, self.parent);
	}
	return false;
}

static __always_inline void begin(struct sock *sk, __u64 since, __u32 flags)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	struct watch_conn c = {};
	__u64 key = (__u64)sk;

	if (!tp || !port_fits(sk, tp) || !cgroup_fits(sk))
		return;
	c.began = c.since = since;
	c.flags = flags;
	if (flags & WATCH_HOLDER)
		c.fin_at = since;
	else if (!(flags & WATCH_DEAD))
		c.close_at = since;
	if (flags & WATCH_DEAD)
		c.error = sk->sk_err;
	c.read_seq = tp->copied_seq;
	c.write_seq = tp->write_seq;
	if (suspecting) {
		__u32 *site = bpf_map_lookup_elem(&made, &key);

		c.made_site = site ? *site : 0;
	}
	if (bpf_map_update_elem(&conns, &key, &c, BPF_ANY)) {
		count(&counts.untracked);
		return;
	}
	count(&counts.started);
	enqueue(key, since);
}

/* Of this and report(), which other CPUs may run at the same time, one sees the other's bit: an end
 * that was reported is always followed by its end. */
static __always_inline void finish(__u64 key, struct watch_conn *c, __u64 now)
{
	__u32 flags = __sync_fetch_and_or(&c->flags, WATCH_FINISHED);

	if (flags & WATCH_REPORTED)
		emit(WATCH_END, key, c, 0);
	if (flags & WATCH_WANTED)
		__sync_fetch_and_add(&wanted, -1);
	bpf_map_delete_elem(&conns, &key);
	count(&counts.finished);
}

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

static __always_inline void name_process(struct task_struct *task, char comm[WATCH_COMM])
{
	bpf_probe_read_kernel_str(comm, WATCH_COMM, task->group_leader->comm);
}

/* Runs in the context of the call that sends the FIN: tcp_close_state() has no other callers than
 * tcp_close() and tcp_shutdown(). */
static __always_inline void count_lag(const struct sock *sk, const struct watch_conn *c, __u64 now)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct watch_lag_key key = {};
	struct watch_lag fresh = { .count = 1 }, *lag;
	__u64 ns = now - c->fin_at;

	key.start = task->group_leader->start_boottime;
	key.tgid = process_of(task);
	key.outward = sk->sk_max_ack_backlog == 0;
	key.port = key.outward ? bpf_ntohs(sk->__sk_common.skc_dport) : sk->__sk_common.skc_num;
	key.bucket = lag_bucket(ns);
	lag = bpf_map_lookup_elem(&lags, &key);
	if (lag) {
		count(&lag->count);
		if (ns > lag->max)
			lag->max = ns;
		return;
	}
	fresh.max = ns;
	name_process(task, fresh.comm);
	if (!bpf_map_update_elem(&lags, &key, &fresh, BPF_NOEXIST))
		return;
	lag = bpf_map_lookup_elem(&lags, &key); /* another CPU was first, or the table is full */
	if (lag)
		count(&lag->count);
	else
		count(&counts.lag_lost);
}

static __always_inline void on_fin_sent(struct sock *sk, __u64 key, struct watch_conn *c, __u64 now)
{
	struct task_struct *task = bpf_get_current_task_btf();

	c->close_at = now;
	__sync_fetch_and_or(&c->flags,
			    task->flags & PF_EXITING ? WATCH_CLOSED | WATCH_EXITING : WATCH_CLOSED);
	if (!(c->flags & WATCH_TAKEN_IN) && owner_fits(task))
		count_lag(sk, c, now);
	if (c->flags & WATCH_REPORTED)
		emit(WATCH_NEWS, key, c, 0);
}

/* The state is CLOSE: finished where nobody holds the socket any more, else dead from now on. */
static __always_inline void on_closed(struct sock *sk, int old, __u64 now)
{
	__u64 key = (__u64)sk;
	struct watch_conn *c = bpf_map_lookup_elem(&conns, &key);

	if (sk->__sk_common.skc_flags & SOCK_DEAD_BIT) {
		if (c)
			finish(key, c, now);
		return;
	}
	if (!c) {
		begin(sk, now, WATCH_DEAD);
		return;
	}
	__sync_fetch_and_or(&c->flags, WATCH_DEAD);
	c->since = now;
	c->error = sk->sk_err;
	enqueue(key, now);
	if (c->flags & WATCH_REPORTED)
		emit(WATCH_NEWS, key, c, 0);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state, struct sock *sk, int old, int new)
{
	__u64 key = (__u64)sk;
	struct watch_conn *c;

	if (sk->sk_protocol != IPPROTO_TCP && sk->sk_protocol != IPPROTO_MPTCP)
		return 0;
	switch (new) {
	case TCP_SYN_SENT: /* in the context of connect() */
		if (is_suspect())
			record_made(key);
		break;
	case TCP_CLOSE_WAIT:
		begin(sk, bpf_ktime_get_ns(), WATCH_HOLDER);
		break;
	case TCP_FIN_WAIT1:
		begin(sk, bpf_ktime_get_ns(), WATCH_CLOSED);
		break;
	case TCP_LAST_ACK:
		c = bpf_map_lookup_elem(&conns, &key);
		if (c)
			on_fin_sent(sk, key, c, bpf_ktime_get_ns());
		break;
	case TCP_CLOSE:
		if (old != TCP_LISTEN && old != TCP_SYN_SENT && old != TCP_CLOSE)
			on_closed(sk, old, bpf_ktime_get_ns());
		break;
	default:
		break;
	}
	return 0;
}

SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(on_destroy, struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct watch_conn *c = bpf_map_lookup_elem(&conns, &key);

	if (c)
		finish(key, c, bpf_ktime_get_ns());
	if (suspecting)
		bpf_map_delete_elem(&made, &key);
	return 0;
}

/* The socket behind a descriptor of the current process, read as plain memory; 0: none. */
static __always_inline __u64 socket_of(int fd)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files = BPF_CORE_READ(table, fd), *file;
	struct socket *sock;

	if (fd < 0 || (__u32)fd >= BPF_CORE_READ(table, max_fds) ||
	    bpf_probe_read_kernel(&file, sizeof(file), &files[fd]) || !file)
		return 0;
	if ((BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	sock = BPF_CORE_READ(file, private_data);
	return (__u64)BPF_CORE_READ(sock, sk);
}

static __always_inline int syscall_number(const struct pt_regs *regs)
{
#ifdef __TARGET_ARCH_arm64
	return regs->syscallno;
#else
	return regs->orig_ax;
#endif
}

/* Where accepted sockets are made. Attached only once there is a suspect: it costs every system
 * call of the machine some nanoseconds. */
SEC("tp_btf/sys_exit")
int BPF_PROG(on_accept, struct pt_regs *regs, long ret)
{
	int number = syscall_number(regs);
	__u64 sk;

	if ((number != NR_ACCEPT && number != NR_ACCEPT4) || ret < 0 || !is_suspect())
		return 0;
	sk = socket_of(ret);
	if (sk)
		record_made(sk);
	return 0;
}

/* A read of a socket in CLOSE_WAIT returned 0, in the reader's context. */
static __always_inline void on_told(__u64 key, struct watch_conn *c)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (c->told_at)
		return;
	c->told_at = bpf_ktime_get_ns();
	if (owner_fits(task))
		c->told_site = take_site();
	c->told_tgid = process_of(task);
	c->told_tid = number_of(task);
	bpf_get_current_comm(c->told_comm, sizeof(c->told_comm));
	__sync_fetch_and_or(&c->flags, WATCH_TOLD);
	if (c->flags & WATCH_REPORTED)
		emit(WATCH_NEWS, key, c, 0);
}

/* 0 is also the answer to a peek, and to a read of no bytes: those tell nothing unless everything
 * has been read. */
static __always_inline void on_read(struct sock *sk, int ret, int flags)
{
	__u64 key = (__u64)sk;
	struct watch_conn *c;
	struct tcp_sock *tp;

	if (sk->__sk_common.skc_state != TCP_CLOSE_WAIT || ret < 0 || flags & MSG_ERRQUEUE)
		return;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return;
	c = bpf_map_lookup_elem(&conns, &key);
	if (!c)
		return;
	if (ret == 0 && !(flags & MSG_PEEK) && tp->copied_seq == tp->rcv_nxt)
		on_told(key, c);
	c->read_seq = tp->copied_seq;
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(on_recv_length, struct sock *sk, int ret, int flags)
{
	if (sk->sk_protocol == IPPROTO_TCP)
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
	struct watch_conn *c;
	struct tcp_sock *tp;
	__u64 key;

	if (ret != 0 || !may_be_the_end(regs))
		return 0;
	key = socket_of(first_argument(regs));
	c = bpf_map_lookup_elem(&conns, &key);
	if (!c)
		return 0;
	tp = (struct tcp_sock *)key;
	if (BPF_CORE_READ((struct sock *)key, __sk_common.skc_state) == TCP_CLOSE_WAIT &&
	    BPF_CORE_READ(tp, copied_seq) == BPF_CORE_READ(tp, rcv_nxt))
		on_told(key, c);
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
	struct watch_conn *c;
	struct tcp_sock *tp;

	if (sk->__sk_common.skc_state != TCP_CLOSE_WAIT)
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return 0;
	c = bpf_map_lookup_elem(&conns, &key);
	if (!c)
		return 0;
	if (tp->copied_seq == tp->rcv_nxt && tp->copied_seq - c->read_seq <= 1)
		on_told(key, c);
	c->read_seq = tp->copied_seq;
	return 0;
}

static __always_inline bool is_half_closed(int state)
{
	return state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSE_WAIT ||
	       state == TCP_LAST_ACK || state == TCP_CLOSING;
}

/* Follows an end that was half-closed already. Since when is not known: at least since the last
 * packet came or went, which the socket's clock remembers. */
static __always_inline void take_in(struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	__u8 state = sk->__sk_common.skc_state;
	__u32 flags = WATCH_TAKEN_IN;

	if (!tp || bpf_map_lookup_elem(&conns, &key))
		return;
	if (state == TCP_CLOSE) {
		/* Never was connected; a refusal is one segment. */
		if (tp->segs_in <= 1 && !tp->bytes_acked && !tp->bytes_received)
			return;
		/* tcp_reset() says EPIPE where the peer's FIN had come before, and ours not. */
		flags |= sk->sk_err == EPIPE ? WATCH_DEAD | WATCH_HOLDER : WATCH_DEAD;
	} else if (!is_half_closed(state)) {
		return;
	} else {
		flags |= state == TCP_CLOSE_WAIT ? WATCH_HOLDER : WATCH_CLOSED;
	}
	begin(sk, tp->tcp_mstamp * 1000, flags);
	need_scan = true;
}

/* The owner of a wanted end is one of the watched. */
static __always_inline void report_wanted(__u64 key, struct watch_conn *c, __u64 now)
{
	if (!(__sync_fetch_and_and(&c->flags, ~WATCH_WANTED) & WATCH_WANTED))
		return;
	__sync_fetch_and_add(&wanted, -1);
	if (!(__sync_fetch_and_or(&c->flags, WATCH_REPORTED) & WATCH_FINISHED))
		emit(WATCH_REPORT, key, c, BPF_RB_NO_WAKEUP);
}

static __always_inline void remember_port(const struct sock *sk)
{
	__u64 key = (__u64)sk->__sk_common.skc_net.net->ns.inum << 16 | sk->__sk_common.skc_num;
	__u8 one = 1;

	bpf_map_update_elem(&ports, &key, &one, BPF_ANY);
}

/* Every descriptor of every process: gives those that refer to a reported end or to a listener,
 * reports those that waited for their owner, and at the start takes in the half-closed. */
SEC("iter/task_file")
int holders(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct watch_owner o = { .fd = ctx->fd };
	struct watch_conn *c;
	struct socket *sock;
	struct sock *sk;
	__u64 key;

	if (!task || !file)
		return 0;
	sock = bpf_sock_from_file(file);
	if (!sock)
		return 0;
	sk = sock->sk;
	if (!sk || sk->sk_protocol != IPPROTO_TCP)
		return 0;
	if (taking_in)
		take_in(sk);
	key = (__u64)sk;
	o.state = sk->__sk_common.skc_state;
	c = bpf_map_lookup_elem(&conns, &key);
	if (c && c->flags & WATCH_WANTED && owner_fits(task))
		report_wanted(key, c, bpf_ktime_get_ns());
	if (o.state == TCP_LISTEN && rules.by_owner && owner_fits(task))
		remember_port(sk);
	if (c ? !(c->flags & WATCH_REPORTED) : o.state != TCP_LISTEN)
		return 0;
	o.sk = key;
	o.began = c ? c->began : 0;
	o.cookie = bpf_get_socket_cookie(sk);
	o.inode = file->f_inode->i_ino;
	o.start = task->group_leader->start_boottime;
	o.tgid = process_of(task);
	o.netns = sk->__sk_common.skc_net.net->ns.inum;
	o.port = sk->__sk_common.skc_num;
	name_process(task, o.comm);
	bpf_seq_write(ctx->meta->seq, &o, sizeof(o));
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

/* Reports one that is due. Returns whether the turn is over for lack of room. */
static __always_inline bool report(__u64 key, struct watch_conn *c, __u64 now,
				   struct watch_turn *turn)
{
	if (turn->reported >= turn->room) {
		turn->more = 1;
		return true;
	}
	turn->reported++;
	if (rules.by_owner) {
		if (!(__sync_fetch_and_or(&c->flags, WATCH_WANTED) & WATCH_WANTED))
			__sync_fetch_and_add(&wanted, 1);
		return false;
	}
	if (!(__sync_fetch_and_or(&c->flags, WATCH_REPORTED) & WATCH_FINISHED))
		emit(WATCH_REPORT, key, c, BPF_RB_NO_WAKEUP);
	return false;
}

struct walk {
	struct watch_turn *turn;
	__u64 now;
};

static long look_at_slot(__u32 i, struct walk *w)
{
	__u32 at = queue_tail & (WATCH_QUEUE - 1);
	struct watch_conn *c;
	struct slot *s;
	__u64 key;

	if (queue_tail >= queue_head)
		return 1;
	s = bpf_map_lookup_elem(&queue, &at);
	if (!s || *(volatile __u64 *)&s->number != queue_tail + 1)
		return 1; /* being written; or overrun, which the caller sees */
	if (s->since + rules.after > w->now) {
		w->turn->next = s->since + rules.after;
		return 1;
	}
	key = s->sk;
	c = bpf_map_lookup_elem(&conns, &key);
	if (c && c->since == s->since && !(c->flags & (WATCH_REPORTED | WATCH_WANTED)) &&
	    report(key, c, w->now, w->turn))
		return 1;
	queue_tail++;
	return 0;
}

/* Not accepted: nobody has a descriptor, so the listener's owner counts. */
static __always_inline bool waits_at_watched_port(__u64 key)
{
	const struct sock *sk = (const struct sock *)key;
	__u64 port = (__u64)BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum) << 16 |
		     BPF_CORE_READ(sk, __sk_common.skc_num);

	return !BPF_CORE_READ(sk, sk_socket) && bpf_map_lookup_elem(&ports, &port);
}

static long look_at_conn(void *map, __u64 *key, struct watch_conn *c, struct walk *w)
{
	if (c->flags & WATCH_WANTED && waits_at_watched_port(*key)) {
		report_wanted(*key, c, w->now);
		return 0;
	}
	if (c->flags & (WATCH_REPORTED | WATCH_WANTED) || c->since + rules.after > w->now)
		return 0;
	return report(*key, c, w->now, w->turn);
}

/* One turn of the queue; see above. User space runs it. */
SEC("syscall")
int mature(struct watch_turn *ctx)
{
	struct watch_turn turn = { .room = ctx->room };
	struct walk w = { .turn = &turn, .now = bpf_ktime_get_ns() };

	if (queue_head - queue_tail > WATCH_QUEUE) {
		count(&counts.overruns);
		queue_tail = queue_head - WATCH_QUEUE / 2;
		need_scan = true;
	}
	if (need_scan || ctx->scan) {
		need_scan = false;
		bpf_for_each_map_elem(&conns, look_at_conn, &w, 0);
		need_scan = turn.more;
	} else {
		bpf_loop(WATCH_QUEUE, look_at_slot, &w, 0);
	}
	ctx->reported = turn.reported;
	ctx->more = turn.more;
	ctx->next = turn.next;
	ctx->now = w.now;
	ctx->jiffies = bpf_jiffies64();
	ctx->wanted = wanted;
	return 0;
}

__u32 asked = 0; /* the process that `processes` looks for, as user space numbers it */

/* In a pid namespace only the kernel knows what number a process has outside. */
SEC("iter/task")
int processes(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	__u8 one = 1;
	__u32 tgid;

	if (!task || task->pid != task->tgid || number_of(task) != asked)
		return 0;
	tgid = task->tgid;
	bpf_map_update_elem(&pids, &tgid, &one, BPF_ANY);
	return 0;
}

/* Children of the watched are watched. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 tgid = parent->tgid, child_tgid = child->tgid;
	__u8 one = 1;

	if (tgid != child_tgid && bpf_map_lookup_elem(&pids, &tgid))
		bpf_map_update_elem(&pids, &child_tgid, &one, BPF_ANY);
	return 0;
}

/* The number is free for another process from here on. */
SEC("tp_btf/sched_process_free")
int BPF_PROG(on_free, struct task_struct *task)
{
	__u32 tgid = task->tgid;

	if (task->pid == task->tgid)
		bpf_map_delete_elem(&pids, &tgid);
	return 0;
}
