// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* Every descriptor of every process that is a TCP socket in one of the wanted states. One pass sees
 * all network namespaces and knows each owner; sockets without a descriptor it cannot see.
 *
 * after_fin rests on snd_wl1, the sequence number of the segment that last updated the send window
 * (RFC 9293 §3.10.7.4; tcp_update_wl()). Every acceptable segment that acknowledges something, or
 * comes later in sequence, updates it:
 *  - in CLOSE_WAIT, rcv_nxt is one past the FIN. The FIN itself and all before it have a smaller
 *    number; whatever comes after it has rcv_nxt. So equal means: something came after the FIN.
 *  - in FIN_WAIT_2, the ACK of our FIN set it. Data with or after that ACK moves rcv_nxt past it;
 *    only a later segment without data hides that again. So less means: data came; equal: unknown.
 */
#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "sockets.h"

#define IPPROTO_TCP   6
#define IPPROTO_MPTCP 262
#define AF_INET       2
#define AF_INET6      10
#define STATE_BIT(s)  (1u << (s))

/* include/net/tcp_states.h */
#define TCP_FIN_WAIT2  5
#define TCP_TIME_WAIT  6
#define TCP_CLOSE      7
#define TCP_CLOSE_WAIT 8
#define TCP_LISTEN     10
#define TCP_LAST       13

char LICENSE[] SEC("license") = "Dual MIT/GPL";

volatile __u32 wanted = 0; /* set of states; user space sets it before each pass */

static __always_inline __u8 after_fin(__u8 state, const struct tcp_sock *tp)
{
	if (state == TCP_CLOSE_WAIT)
		return tp->snd_wl1 == tp->rcv_nxt ? SOCKETS_AFTER_FIN_SEGMENTS
						  : SOCKETS_AFTER_FIN_NOTHING;
	if (state == TCP_FIN_WAIT2 && (__s32)(tp->rcv_nxt - tp->snd_wl1) > 0)
		return SOCKETS_AFTER_FIN_SEGMENTS;
	return SOCKETS_AFTER_FIN_UNKNOWN;
}

static __always_inline void add_addresses(struct sockets_record *r, const struct sock *sk)
{
	__u32 *local = (__u32 *)r->local, *peer = (__u32 *)r->peer;

	r->family = (__u8)sk->__sk_common.skc_family;
	r->bound = sk->__sk_common.skc_bound_dev_if != 0;
	r->local_port = sk->__sk_common.skc_num;
	r->peer_port = __builtin_bswap16(sk->__sk_common.skc_dport);
	if (r->family == AF_INET) {
		local[0] = sk->__sk_common.skc_rcv_saddr;
		peer[0] = sk->__sk_common.skc_daddr;
		return;
	}
	for (int i = 0; i < 4; i++) {
		local[i] = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[i];
		peer[i] = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[i];
	}
}

/* Every field costs a cache line of a socket that nobody touched for long: what only a dead one is
 * asked for is read only there. */
static __always_inline void add_last_words(struct sockets_record *r, const struct tcp_sock *tp)
{
	r->bytes_acked = tp->bytes_acked;
	r->shutdown = tp->inet_conn.icsk_inet.sk.sk_shutdown;
	r->error = (__u16)tp->inet_conn.icsk_inet.sk.sk_err;
	/* The clock was looked at when it died (tcp_mstamp_refresh()), and may have been since. */
	r->quiet_ms = (__u32)((bpf_ktime_get_ns() / 1000 - tp->tcp_mstamp) / 1000);
	if (!r->local_port) /* inet_put_port() cleared the other copy */
		r->local_port = __builtin_bswap16(tp->inet_conn.icsk_inet.inet_sport);
}

static __always_inline void add_numbers(struct sockets_record *r, const struct tcp_sock *tp)
{
	__u32 now = (__u32)bpf_jiffies64();

	if (r->state == TCP_LISTEN) {
		r->recv_q = tp->inet_conn.icsk_inet.sk.sk_ack_backlog;
		r->send_q = tp->inet_conn.icsk_inet.sk.sk_max_ack_backlog;
		return;
	}
	r->recv_q = tp->rcv_nxt - tp->copied_seq;
	if ((__s32)r->recv_q < 0)
		r->recv_q = 0;
	r->send_q = tp->write_seq - tp->snd_una;
	r->sent_ticks = now - tp->lsndtime;
	r->received_ticks = now - tp->inet_conn.icsk_ack.lrcvtime;
	r->ack_ticks = now - tp->rcv_tstamp;
	if (r->state != TCP_CLOSE_WAIT || r->recv_q == 0) {
		r->segs_in = tp->segs_in;
		r->bytes_received = tp->bytes_received;
	}
	r->bytes_sent = tp->bytes_sent;
	r->rtt_us = tp->srtt_us >> 3;
	r->after_fin = after_fin(r->state, tp);
}

struct sockets_tally tally = {};

/* Runs over the connections of the namespace in which the iterator was made. */
SEC("iter/tcp")
int connections(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sk = ctx->sk_common;
	__u64 cookie;
	__u8 state;

	if (!sk)
		return 0;
	state = sk->skc_state;
	if (state == TCP_TIME_WAIT)
		tally.others += !!(tally.states &
				   (STATE_BIT(TCP_TIME_WAIT) | STATE_BIT(TCP_FIN_WAIT2)));
	else if (state <= TCP_LAST)
		tally.others += !!(tally.states & STATE_BIT(state));
	if (state != TCP_CLOSE_WAIT)
		return 0;
	cookie = sk->skc_cookie.counter;
	tally.n++;
	tally.sum += SOCKETS_TALLY_MIX(cookie);
	return 0;
}

SEC("iter/task_file")
int descriptors(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct sockets_record r = { 0 };
	struct file *file = ctx->file;
	struct socket *sock;
	struct tcp_sock *tp;
	struct sock *sk;

	if (!task || !file)
		return 0;
	sock = bpf_sock_from_file(file);
	if (!sock)
		return 0;
	sk = sock->sk;
	if (!sk)
		return 0;
	r.state = sk->__sk_common.skc_state;
	if (sk->sk_protocol == IPPROTO_MPTCP) {
		r.kind = SOCKETS_MPTCP;
	} else if (sk->sk_protocol == IPPROTO_TCP) {
		if (r.state > TCP_LAST || !(wanted & STATE_BIT(r.state)))
			return 0;
		tp = bpf_skc_to_tcp_sock(sk);
		if (!tp)
			return 0;
		r.kind = SOCKETS_TCP;
		r.cookie = bpf_get_socket_cookie(sk);
		add_addresses(&r, sk);
		add_numbers(&r, tp);
		if (r.state == TCP_CLOSE)
			add_last_words(&r, tp);
	} else {
		return 0;
	}
	r.netns = sk->__sk_common.skc_net.net->ns.inum;
	r.inode = (__u32)file->f_inode->i_ino;
	r.pid = task->tgid;
	r.fd = ctx->fd;
	__builtin_memcpy(r.comm, task->group_leader->comm, sizeof(r.comm));
	bpf_seq_write(ctx->meta->seq, &r, sizeof(r));
	return 0;
}
