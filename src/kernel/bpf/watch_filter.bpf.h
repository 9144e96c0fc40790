/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Whether a process or a socket is one that is watched. */
#pragma once

/* Whether its number is among those that are watched, and not as that of one before it. */
static __always_inline bool is_watched(struct task_struct *task)
{
	__u32 tgid = task->tgid;
	__u64 *start = bpf_map_lookup_elem(&pids, &tgid);

	return start && *start == task->group_leader->start_boottime;
}

/* Takes the place of one that had its number before. `leader`: not another of its threads. */
static __always_inline void watch_process(const struct task_struct *leader)
{
	__u32 tgid = leader->tgid;
	__u64 start = leader->start_boottime;

	if (bpf_map_update_elem(&pids, &tgid, &start, BPF_ANY))
		count(&counts.children_lost);
}

static __always_inline bool owner_fits(struct task_struct *task)
{
	__u32 states = GLOB_START;
	char comm[WATCH_COMM];

	if (!rules.by_owner || is_watched(task))
		return true;
	if (!rules.by_name || bpf_probe_read_kernel(comm, sizeof(comm), task->group_leader->comm))
		return false;
	for (int i = 0; i < WATCH_COMM && comm[i]; i++)
		states = GLOB_STEP(&rules.name, states, comm[i]);
	return states & rules.name.end;
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
