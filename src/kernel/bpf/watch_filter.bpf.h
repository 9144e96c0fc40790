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

/* Of those in `pids`, where only they are watched, and of that name. */
static __always_inline bool owner_fits(struct task_struct *task)
{
	__u32 states = GLOB_START;
	char comm[WATCH_COMM];

	if (rules.by_pid && !is_watched(task))
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

/* The id of the cgroup's ancestor at a level of the tree, itself at its own; 0: it lies above. */
static __always_inline __u64 ancestor_id(const struct cgroup *at, __u32 level)
{
	const struct cgroup *ancestor;
	__u64 id = 0;

	if (level > (__u32)BPF_CORE_READ(at, level))
		return 0;
	if (bpf_core_field_exists(at->ancestors)) {
		bpf_probe_read_kernel(&ancestor, sizeof(ancestor),
				      (const char *)at +
					      bpf_core_field_offset(struct cgroup, ancestors) +
					      level * sizeof(ancestor));
		return BPF_CORE_READ(ancestor, kn, id);
	}
	/* Before Linux 6.1 (cgroup: Replace cgroup->ancestor_ids[] with ->ancestors[]). */
	bpf_probe_read_kernel(&id, sizeof(id),
			      (const char *)at +
				      bpf_core_field_offset(struct cgroup___old, ancestor_ids) +
				      level * sizeof(id));
	return id;
}

/* The level at which the wanted cgroup lies, once a socket in it was seen; it stays there. */
static __u32 cgroup_level = 0;

struct cgroup_search {
	const struct cgroup *at;
	__u32 level; /* where it was found; 0: nowhere */
};

static long look_at_level(__u32 i, struct cgroup_search *s)
{
	if (ancestor_id(s->at, i + 1) != rules.cgroup)
		return 0;
	s->level = i + 1;
	return 1;
}

/* Not inlined: rare, where the wanted cgroup has sockets. */
static __noinline int find_cgroup_level(const struct cgroup *at)
{
	struct cgroup_search s = { .at = at };

	bpf_loop(BPF_CORE_READ(at, level), look_at_level, &s, 0);
	if (s.level)
		cgroup_level = s.level;
	return s.level;
}

/* The socket's cgroup is the wanted one or lies below it. */
static __always_inline bool cgroup_fits(const struct sock *sk)
{
	const struct cgroup *at;

	if (!rules.cgroup)
		return true;
	at = BPF_CORE_READ(sk, sk_cgrp_data.cgroup);
	if (cgroup_level)
		return ancestor_id(at, cgroup_level) == rules.cgroup;
	return ancestor_id(at, 0) == rules.cgroup || find_cgroup_level(at);
}
