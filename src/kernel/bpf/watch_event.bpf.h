/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Events: what user space is told of an end. */
#pragma once

static __always_inline __u64 socket_inode(const struct sock *sk)
{
	const struct socket_alloc *both = (const void *)BPF_CORE_READ(sk, sk_socket);

	return both ? BPF_CORE_READ(both, vfs_inode.i_ino) : 0;
}

/* Who the end is. Its own port comes from inet_sport: a closed socket has let go of skc_num. */
static __always_inline void describe(struct watch_event *e, const struct sock *sk)
{
	const struct inet_sock *inet = (const struct inet_sock *)sk;
	const struct tcp_sock *tp = (const struct tcp_sock *)sk;

	/* Neither moves any more, once the FIN was sent, and once it has come. */
	e->first_fin = e->conn.flags & WATCH_HOLDER ? BPF_CORE_READ(tp, rcv_nxt)
						    : BPF_CORE_READ(tp, write_seq);
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

static __always_inline void tell(struct watch_conn *c, __u64 sk, const struct end *e)
{
	__u32 *site = suspecting ? bpf_map_lookup_elem(&made, &sk) : NULL;

	c->flags = e->flags;
	c->began = e->began;
	c->since = e->since;
	c->fin_at = c->flags & WATCH_HOLDER ? e->began : 0;
	c->close_at = e->close_at;
	c->made_site = site ? *site : 0;
	if (c->flags & WATCH_TOLD) {
		c->told_at = e->told_at;
		c->told_tgid = e->told_tgid;
		c->told_tid = e->told_tid;
		c->told_site = e->told_site;
		__builtin_memcpy(c->told_comm, e->told_comm, WATCH_COMM);
	}
	if (c->flags & WATCH_DEAD)
		c->error = e->error;
}

/* Sends an event about an end. Not static, so that the verifier goes through it once, not for each
 * of those who call it: that took a fifth of the time in which the watch starts. */
__noinline int emit(__u32 kind, const struct end *end, __u64 wake)
{
	const struct sock *sk;
	const struct tcp_sock *tp;
	struct watch_event *e;
	__u64 key;

	if (kind >= WATCH_KINDS || !end)
		return 0;
	key = end->sk;
	sk = (const struct sock *)key;
	tp = (const struct tcp_sock *)key;
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
	tell(&e->conn, key, end);
	e->state = BPF_CORE_READ(sk, __sk_common.skc_state);
	e->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	e->unread = BPF_CORE_READ(tp, rcv_nxt) - BPF_CORE_READ(tp, copied_seq);
	e->unacked = BPF_CORE_READ(tp, write_seq) - BPF_CORE_READ(tp, snd_una);
	e->unsent = BPF_CORE_READ(tp, write_seq) - BPF_CORE_READ(tp, snd_nxt);
	e->sent = BPF_CORE_READ(tp, write_seq) - end->write_seq;
	e->sent_jiffies = (__u32)bpf_jiffies64() - BPF_CORE_READ(tp, lsndtime);
	e->received = BPF_CORE_READ(tp, rcv_nxt) - end->read_seq;
	e->recv_jiffies = (__u32)bpf_jiffies64() - BPF_CORE_READ(tp, inet_conn.icsk_ack.lrcvtime);
	e->peer_window = BPF_CORE_READ(tp, snd_wnd);
	e->retransmits = BPF_CORE_READ(tp, inet_conn.icsk_retransmits);
	e->inode = socket_inode(sk);
	e->file = (__u64)BPF_CORE_READ(sk, sk_socket, file);
	e->accepted = BPF_CORE_READ(sk, sk_max_ack_backlog) > 0;
	if (kind == WATCH_REPORT)
		describe(e, sk);
	bpf_ringbuf_submit(e, wake);
	return 0;
}
