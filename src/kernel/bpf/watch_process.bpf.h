/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Processes: their numbers, their descriptors and their system calls, read as plain memory where
 * the kernel has no better way. */
#pragma once

/* From Linux 6.2: only the verifier takes note of it. */
extern void *bpf_rdonly_cast(const void *at, __u32 type) __ksym __weak;

/* NULL: not TCP. For programs whose sockets are whole, not requests or in TIME_WAIT. */
static __always_inline struct tcp_sock *as_tcp(struct sock *sk)
{
	if (sk->sk_protocol != IPPROTO_TCP)
		return NULL;
	if (bpf_rdonly_cast)
		return bpf_rdonly_cast(sk, bpf_core_type_id_kernel(struct tcp_sock));
	return bpf_skc_to_tcp_sock(sk);
}

/* How deep in the tree of pid namespaces user space's lies. It asks before it attaches anything. */
__u32 pidns_level = 0;

/* The number at a level, where that one's namespace is user space's; 0: it has none there. */
static __always_inline __u32 number_at(const struct pid *pid, __u32 level)
{
	struct upid id;

	if (!pid || level > BPF_CORE_READ(pid, level) ||
	    bpf_probe_read_kernel(&id, sizeof(id),
				  (const char *)pid + bpf_core_field_offset(struct pid, numbers) +
					  level * sizeof(id)))
		return 0;
	return BPF_CORE_READ(id.ns, ns.inum) == rules.pidns ? id.nr : 0;
}

/* The task's number in the pid namespace of user space; 0: it has none there. */
static __always_inline __u32 number_of(const struct task_struct *task)
{
	return rules.pidns ? number_at(BPF_CORE_READ(task, thread_pid), pidns_level) : task->pid;
}

static __always_inline __u32 process_of(const struct task_struct *task)
{
	return rules.pidns ? number_of(BPF_CORE_READ(task, group_leader)) : (__u32)task->tgid;
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

/* As the helper does, but without the calls. */
static __always_inline void copy_comm(char to[WATCH_COMM], const struct task_struct *task)
{
	__u64 *words = (__u64 *)to;
	const volatile __u64 *from = (const volatile __u64 *)task->comm;

	words[0] = from[0];
	words[1] = from[1];
}

/* Whether the call that the current task makes is one of a 32-bit program, which has other numbers
 * and other registers. On x86 any program may make one. */
static __always_inline bool is_compat_call(void)
{
#ifdef __TARGET_ARCH_arm64
	return bpf_get_current_task_btf()->thread_info.flags & TIF_32BIT_BIT;
#else
	return bpf_get_current_task_btf()->thread_info.status & TS_COMPAT;
#endif
}

static __always_inline int syscall_number(const struct pt_regs *regs)
{
#ifdef __TARGET_ARCH_arm64
	return regs->syscallno;
#else
	return regs->orig_ax;
#endif
}
