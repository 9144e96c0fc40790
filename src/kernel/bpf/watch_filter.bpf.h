/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Whether a process or a socket is one that is watched. */
#pragma once

/* Of those in `pids`, where only they are watched, and of that name. */
static __always_inline bool owner_fits(struct task_struct *task)
{
	__u32 tgid = task->tgid, states = GLOB_START;
	char comm[WATCH_COMM];

	if (rules.by_pid && !bpf_map_lookup_elem(&pids, &tgid))
		return false;
	if (!rules.by_name)
		return true;
	if (bpf_probe_read_kernel(comm, sizeof(comm), task->group_leader->comm))
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
