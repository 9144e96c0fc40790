/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* The kernel's constants that the watch compares with. */
#pragma once

#define NS_PER_S 1000000000ULL

#define AF_INET       2
#define AF_INET6      10
#define IPPROTO_TCP   6
#define IPPROTO_MPTCP 262
#define MSG_PEEK      2
#define MSG_ERRQUEUE  0x2000
#define PF_EXITING    4
#define PF_IO_WORKER  0x10 /* io_uring's: a thread of the process without user registers */
#define PF_KTHREAD    0x00200000
#define EPIPE         32
#define SOCK_DEAD_BIT 1UL /* 1 << SOCK_DEAD of enum sock_flags */

#ifdef __TARGET_ARCH_arm64
#define TIF_32BIT_BIT (1UL << 22) /* 1 << TIF_32BIT */
#else
#define TS_COMPAT 2
#endif

#define S_IFMT   0170000
#define S_IFSOCK 0140000
#ifdef __TARGET_ARCH_arm64
#define NR_ACCEPT   202
#define NR_ACCEPT4  242
#define NR_READ     63
#define NR_READV    65
#define NR_PREADV2  286
#define NR_RECVFROM 207
#define NR_RECVMSG  212
#else
#define NR_ACCEPT   43
#define NR_ACCEPT4  288
#define NR_READ     0
#define NR_READV    19
#define NR_PREADV2  327
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
