/* SPDX-License-Identifier: MIT */
/* The kernel's types, hand-kept: only the fields that the programs here read. Each is relocated
 * against the running kernel's own BTF when a program is loaded. */
#pragma once

#ifndef __VMLINUX_H__
#define __VMLINUX_H__
#endif

typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __s8 s8;
typedef __u8 u8;
typedef __s16 s16;
typedef __u16 u16;
typedef __s32 s32;
typedef __u32 u32;
typedef __s64 s64;
typedef __u64 u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef unsigned long size_t;
typedef _Bool bool;
enum {
	false = 0,
	true = 1
};

enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_SK_STORAGE = 24,
	BPF_MAP_TYPE_RINGBUF = 27,
};

enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_EXIST = 2
};
enum {
	BPF_F_NO_PREALLOC = 1,
	BPF_F_MMAPABLE = 1024
};
enum {
	BPF_RB_NO_WAKEUP = 1,
	BPF_RB_FORCE_WAKEUP = 2
};
enum {
	BPF_RB_AVAIL_DATA = 0,
	BPF_RB_RING_SIZE = 1
};
enum {
	BPF_SK_STORAGE_GET_F_CREATE = 1
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct in6_addr {
	union {
		__u8 u6_addr8[16];
		__be32 u6_addr32[4];
	} in6_u;
};

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	s64 counter;
} atomic64_t;

struct sock_common {
	union {
		struct {
			__be32 skc_daddr;
			__be32 skc_rcv_saddr;
		};
	};
	union {
		struct {
			__be16 skc_dport;
			__u16 skc_num;
		};
	};
	unsigned short skc_family;
	volatile unsigned char skc_state;
	int skc_bound_dev_if;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	atomic64_t skc_cookie;
	union {
		unsigned long skc_flags;
		struct sock *skc_listener;
	};
};

struct kernfs_node {
	u64 id;
};

struct cgroup {
	int level;
	struct kernfs_node *kn;
	struct cgroup *ancestors[];
};

/* Before Linux 6.1. */
struct cgroup___old {
	int level;
	u64 ancestor_ids[];
};

struct sock_cgroup_data {
	struct cgroup *cgroup;
};

struct socket;

struct sk_buff_head {
	__u32 qlen;
};

struct sock {
	struct sock_common __sk_common;
	u16 sk_protocol;
	int sk_err;
	u8 sk_shutdown;
	u32 sk_ack_backlog;
	u32 sk_max_ack_backlog;
	struct sk_buff_head sk_receive_queue;
	struct socket *sk_socket;
	struct sock_cgroup_data sk_cgrp_data;
};

struct inet_sock {
	struct sock sk;
	__be16 inet_sport;
};

struct request_sock {
	struct sock_common __req_common;
	struct request_sock *dl_next;
	struct sock *sk;
};

struct request_sock_queue {
	struct request_sock *rskq_accept_head;
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	struct request_sock_queue icsk_accept_queue;
	__u8 icsk_retransmits;
	struct {
		__u32 lrcvtime;
	} icsk_ack;
	__u32 icsk_rto;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	u32 copied_seq;
	u32 rcv_nxt;
	u32 snd_nxt;
	u32 rcv_tstamp;
	u32 snd_wl1;
	u32 srtt_us;
	u32 segs_out;
	u64 bytes_sent;
	u32 snd_una;
	u32 snd_wnd;
	u32 write_seq;
	u32 lsndtime;
	u32 segs_in;
	u64 tcp_clock_cache;
	u64 tcp_mstamp;
	u64 bytes_received;
	u64 bytes_acked;
};

struct list_head {
	struct list_head *next;
};

/* Kernels may have no MPTCP. */
struct mptcp_sock {
	struct list_head conn_list;
	struct sock *first;
	struct sk_buff_head receive_queue;
};

struct mptcp_subflow_context {
	struct list_head node;
	struct sock *tcp_sock;
};

struct inode {
	unsigned short i_mode;
	unsigned long i_ino;
};

struct file {
	struct inode *f_inode;
	void *private_data;
};

struct socket {
	struct file *file;
	struct sock *sk;
};

/* The socket lies first: its address is this one's. */
struct socket_alloc {
	struct socket socket;
	struct inode vfs_inode;
};

/* Of a process: threads that run. */
struct signal_struct {
	atomic_t live;
};

struct mm_struct {
	unsigned long start_code, end_code, start_stack;
};

#ifdef __TARGET_ARCH_arm64
struct user_pt_regs {
	u64 regs[31];
	u64 sp;
	u64 pc;
};
struct pt_regs {
	u64 regs[31];
	u64 sp;
	u64 pc;
	u64 orig_x0;
	s32 syscallno;
};
#else
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8;
	unsigned long ax, cx, dx, si, di, orig_ax, ip, sp;
};
#endif

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct pid_namespace {
	struct ns_common ns;
};

struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	unsigned int level;
	struct upid numbers[1]; /* level + 1 of them, the initial namespace's first */
};

#ifndef __TARGET_ARCH_arm64
struct thread_struct {
	unsigned long fsbase;
};
#endif

#ifdef __TARGET_ARCH_arm64
struct thread_info {
	unsigned long flags;
};
#else
struct thread_info {
	u32 status;
};
#endif

struct task_struct {
	struct thread_info thread_info;
#ifndef __TARGET_ARCH_arm64
	struct thread_struct thread;
#endif
	struct pid *thread_pid;
	struct mm_struct *mm;
	struct files_struct *files;
	struct signal_struct *signal;
	unsigned int flags;
	int pid;
	int tgid;
	struct task_struct *group_leader;
	u64 start_boottime;
	char comm[16];
};

struct seq_file;
struct msghdr;

struct bpf_iter_meta {
	struct seq_file *seq;
	u64 session_id;
	u64 seq_num;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	u32 fd;
	struct file *file;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
};

#pragma clang attribute pop
