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
	__u8 shutdown;  /* this and error: of a dead one only */
	__u8 after_fin; /* enum sockets_after_fin */
	__u8 bound;     /* to an interface */
	__u16 error;
	__u32 netns;
	__u32 inode;
	__u32 pid;
	__u32 fd;
	__u16 local_port, peer_port; /* host byte order */
	__u8 local[16], peer[16];
	__u32 recv_q, send_q;                        /* as sock_diag counts them */
	__u32 sent_ticks, received_ticks, ack_ticks; /* since then */
	__u32 segs_in;
	union {
		__u32 rtt_us;
		__u32 quiet_ms; /* of a dead one: since its last packet or timer */
	};
	char comm[16]; /* of the process, not of the thread */
};

/* One namespace's tables, however the sockets are held: enough to see whether a pass over
 * descriptors told of all that are in CLOSE_WAIT, and whether there is anything else to list. */
struct sockets_tally {
	__u32 states; /* set of those that `others` counts; user space sets it before each walk */
	__u32 spare;
	__u64 others;
	__u64 n;
	__u64 sum; /* of their cookies, each through SOCKETS_TALLY_MIX, modulo 2^64 */
};

/* Cookies are numbers in a row, whose plain sums soon are the same. */
#define SOCKETS_TALLY_MIX(cookie) \
	(((cookie) ^ ((cookie)*0x9e3779b97f4a7c15ull >> 29)) * 0xbf58476d1ce4e5b9ull)
