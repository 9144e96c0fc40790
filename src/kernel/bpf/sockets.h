/* SPDX-License-Identifier: MIT */
/* What sockets.bpf.c tells of one descriptor. */
#pragma once

#ifndef __bpf__
#include <linux/types.h>
#endif

/* enum tcp_after_fin, whose header needs a libc. */
enum sockets_after_fin {
	SOCKETS_AFTER_FIN_UNKNOWN = 0,
	SOCKETS_AFTER_FIN_NOTHING,
	SOCKETS_AFTER_FIN_SEGMENTS,
};

enum sockets_kind {
	SOCKETS_TCP = 1,
	SOCKETS_MPTCP = 2, /* the connection's own socket: inode, netns and holder only */
};

struct sockets_record {
	__u64 cookie;
	__u64 bytes_acked, bytes_received, bytes_sent;
	__u8 kind;  /* enum sockets_kind; never 0 */
	__u8 state; /* Linux's numbers */
	__u8 family;
	__u8 shutdown;
	__u8 retransmits;
	__u8 after_fin; /* enum sockets_after_fin */
	__u16 error;
	__u32 netns;
	__u32 inode;
	__u32 pid;
	__u32 fd;
	__u16 local_port, peer_port; /* host byte order */
	__u8 local[16], peer[16];
	__u32 recv_q, send_q;                        /* as sock_diag counts them */
	__u32 sent_ticks, received_ticks, ack_ticks; /* since then */
	__u32 segs_in, segs_out;
	__u32 unacked_bytes; /* sent, not acknowledged */
	__u32 snd_wnd;
	__u32 rto_ticks;
	__u32 rtt_us;
	char comm[16]; /* of the process, not of the thread */
};
