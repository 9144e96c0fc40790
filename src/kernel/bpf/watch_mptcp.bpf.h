/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* MPTCP: descriptors refer to the socket of the whole connection, and reads are its own. The ends
 * that the watch follows are those of its subflows, TCP sockets that have no descriptor. One that
 * speaks TCP after all, as its peer knows no more, has one subflow all the same. */
#pragma once

/* The kernel counts them in 8 bits. */
#define SUBFLOWS_MOST 256

#define RCV_SHUTDOWN 1

struct subflows {
	__u64 list; /* the list's own address: there it ends */
	__u64 at;
};

static __always_inline bool is_mptcp(__u32 protocol)
{
	return protocol == IPPROTO_MPTCP && bpf_core_type_exists(struct mptcp_sock);
}

static __always_inline struct subflows subflows_of(__u64 msk)
{
	__u64 list = msk + bpf_core_field_offset(struct mptcp_sock, conn_list);

	return (struct subflows){ list, (__u64)BPF_CORE_READ((struct list_head *)list, next) };
}

/* That which listens, where the connection does. */
static __always_inline __u64 first_subflow(__u64 msk)
{
	return (__u64)BPF_CORE_READ((const struct mptcp_sock *)msk, first);
}

/* The next one's socket; 0: there is none. */
static __always_inline __u64 next_subflow(struct subflows *s)
{
	const struct mptcp_subflow_context *subflow;

	if (!s->at || s->at == s->list)
		return 0;
	subflow = (const void *)(s->at - bpf_core_field_offset(struct mptcp_subflow_context, node));
	s->at = (__u64)BPF_CORE_READ(subflow, node.next);
	return (__u64)BPF_CORE_READ(subflow, tcp_sock);
}

/* A read of it that returned 0 asked for no bytes, unless nothing is left to be read. */
static __always_inline bool is_read_to_the_end(__u64 msk)
{
	const struct sock *sk = (const struct sock *)msk;
	const struct mptcp_sock *m = (const struct mptcp_sock *)msk;

	if (!(BPF_CORE_READ(sk, sk_shutdown) & RCV_SHUTDOWN) ||
	    BPF_CORE_READ(sk, sk_receive_queue.qlen))
		return false;
	/* Before Linux 6.15 it had a second queue. */
	return !bpf_core_field_exists(struct mptcp_sock, receive_queue) ||
	       !BPF_CORE_READ(m, receive_queue.qlen);
}
