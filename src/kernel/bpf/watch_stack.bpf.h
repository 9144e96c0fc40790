/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Stacks of user programs, taken where a read returned 0 and where a socket was made.
 *
 * Programs of today's distributions keep no frame pointers, so the kernel cannot walk their stacks.
 * Instead the registers and both ends of the stack are copied, and user space unwinds them. A
 * copy costs microseconds; but a program tells itself in few places. So a place is copied once, and
 * later only recognised: by instruction and stack pointer, and by the return addresses into the
 * program's own text among the upper words of the stack. Where a thread comes back by the way that
 * it came last, only the words that were return addresses then are compared. */
#pragma once

/* More new places than this in one second are not taken, but counted. */
#define STACKS_PER_SECOND 400

/* No stack is larger. */
#define STACK_SPAN (64ULL << 20)

static __always_inline void copy_registers(__u64 *to, const struct pt_regs *regs)
{
#ifdef __TARGET_ARCH_arm64
	bpf_probe_read_kernel(to, 33 * 8, regs);
#else
	to[0] = regs->ax;
	to[1] = regs->dx;
	to[2] = regs->cx;
	to[3] = regs->bx;
	to[4] = regs->si;
	to[5] = regs->di;
	to[6] = regs->bp;
	to[7] = regs->sp;
	to[8] = regs->r8;
	to[9] = regs->r9;
	to[10] = regs->r10;
	to[11] = regs->r11;
	to[12] = regs->r12;
	to[13] = regs->r13;
	to[14] = regs->r14;
	to[15] = regs->r15;
	to[16] = regs->ip;
#endif
}

static __always_inline __u64 user_ip(const struct pt_regs *regs)
{
#ifdef __TARGET_ARCH_arm64
	return regs->pc;
#else
	return regs->ip;
#endif
}

/* Hashes the return addresses into the program's own text among the upper words of the stack, and
 * notes those that there is room for. 0: the stack cannot be read. */
static __noinline __u64 hash_way(__u64 *words, struct way *way)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 low = task->mm ? task->mm->start_code : 0, high = task->mm ? task->mm->end_code : 0;
	__u64 hash = 0xcbf29ce484222325ULL;
	volatile __u32 *count; /* in memory, that the verifier may forget its value */

	if (!words || !way || bpf_probe_read_user(words, SITE_WORDS * 8, (void *)way->key.sp))
		return 0;
	count = &way->count;
	*count = way->span = 0;
	for (__u32 i = 0; i < SITE_WORDS; i++) {
		__u64 word = words[i];
		__u32 n = *count;

		if (word < low || word >= high)
			continue;
		hash = (hash ^ word) * 0x100000001b3ULL;
		if (n < WAY_WORDS) {
			way->at[n] = i;
			way->word[n] = word;
			way->span = (i + 1) * 8;
		}
		*count = n + 1;
	}
	return hash;
}

static __always_inline bool is_same_way(const struct way *way, const struct way_key *key,
					__u64 *words)
{
	__u32 span = way->span;

	if (!way->site || way->site < oldest_site || way->key.ip != key->ip ||
	    way->key.sp != key->sp || way->key.start != key->start)
		return false;
	if (span > SITE_WORDS * 8 || bpf_probe_read_user(words, span, (void *)key->sp))
		return false;
#pragma clang loop unroll(disable) /* small, for the processor's caches */
	for (__u32 i = 0; i < WAY_WORDS && i < way->count; i++)
		if (words[way->at[i] & (SITE_WORDS - 1)] != way->word[i])
			return false;
	return true;
}

static __always_inline bool too_many_stacks(__u64 now)
{
	__u64 second = now >> 30; /* nearly */

	if (stack_second != second) {
		stack_second = second;
		stacks_this_second = 0;
	}
	return __sync_fetch_and_add(&stacks_this_second, 1) >= STACKS_PER_SECOND;
}

/* Where the thread's stack began: at exec, or, of another thread of the C library, below its own
 * data. 0: the stack lies elsewhere, as Go's do. */
static __always_inline __u64 stack_base(const struct task_struct *task, __u64 sp)
{
	__u64 base = task->mm ? task->mm->start_stack : 0;

	if (base - sp <= STACK_SPAN)
		return base;
#ifndef __TARGET_ARCH_arm64
	base = task->thread.fsbase;
	if (base - sp <= STACK_SPAN)
		return base;
#endif
	return 0;
}

/* From the stack pointer up, until a page that is not there. */
static __always_inline void copy_low(struct watch_stack *s, __u64 at, __u64 base)
{
	__u32 size = 0;

	for (int i = 0; i < WATCH_STACK_LOW / WATCH_STACK_CHUNK; i++) {
		if (base && at >= base)
			break;
		if (bpf_probe_read_user(s->data + i * WATCH_STACK_CHUNK, WATCH_STACK_CHUNK,
					(void *)at))
			break;
		at += WATCH_STACK_CHUNK;
		size += WATCH_STACK_CHUNK;
	}
	s->size = s->low = size;
	s->high = at;
}

/* Up to the base, as much as there is room for and hangs together. */
static __always_inline void copy_high(struct watch_stack *s, __u64 base)
{
	volatile __u32 *size = &s->size; /* in memory, that the verifier may forget its value */
	__u64 room = WATCH_STACK_BYTES - s->low, at = s->high;

	if (at >= base)
		return;
	if (base - at > room)
		at = (base - room + WATCH_STACK_CHUNK - 1) & -WATCH_STACK_CHUNK;
	s->high = at;
	for (int i = 0; i < WATCH_STACK_BYTES / WATCH_STACK_CHUNK && at < base; i++) {
		__u32 to = *size;

		if (to > WATCH_STACK_BYTES - WATCH_STACK_CHUNK)
			break;
		if (bpf_probe_read_user(s->data + to, WATCH_STACK_CHUNK, (void *)at)) {
			*size = s->low;
			s->high = at + WATCH_STACK_CHUNK;
		} else {
			*size = to + WATCH_STACK_CHUNK;
		}
		at += WATCH_STACK_CHUNK;
	}
}

/* Whether it is on its way. Not static: see emit(). */
__noinline int send_stack(__u32 site, __u64 start)
{
	struct task_struct *task = bpf_get_current_task_btf();
	const struct pt_regs *regs = (const struct pt_regs *)bpf_task_pt_regs(task);
	struct watch_stack *s;
	__u64 sp, base;
	bool full;

	count(&counts.emitted[WATCH_STACK]);
	s = bpf_ringbuf_reserve(&stacks, sizeof(*s), 0);
	if (!s) {
		count(&counts.lost[WATCH_STACK]);
		return 0;
	}
	s->site = site;
	s->tgid = process_of(task);
	s->tid = number_of(task);
	s->start = start;
	s->at = bpf_ktime_get_ns();
	s->code_start = task->mm ? task->mm->start_code : 0;
	s->code_end = task->mm ? task->mm->end_code : 0;
	s->stack_start = task->mm ? task->mm->start_stack : 0;
	copy_registers(s->regs, regs);
	sp = regs->sp;
	base = stack_base(task, sp);
	copy_low(s, sp & -WATCH_STACK_CHUNK, base);
	if (base)
		copy_high(s, base);
	/* User space looks often, and before it needs one. */
	full = bpf_ringbuf_query(&stacks, BPF_RB_AVAIL_DATA) > WATCH_STACKS_ROOM / 4;
	bpf_ringbuf_submit(s, full ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
	return 1;
}

/* A site that was not reached by the same way last: known all the same, or new. One whose stack is
 * lost stays new, so that the next that comes there has it sent. */
static __noinline __u32 look_up_site(__u64 *words, struct way *way)
{
	struct site_key key = {};
	__u32 *known, site;

	if (!words || !way)
		return 0;
	key.ip = way->key.ip;
	key.sp = way->key.sp;
	key.start = way->key.start;
	key.hash = hash_way(words, way);
	known = bpf_map_lookup_elem(&sites, &key);
	if (known && *known >= oldest_site) {
		site = *known;
	} else if (too_many_stacks(bpf_ktime_get_ns())) {
		count(&counts.stacks_refused);
		return 0;
	} else {
		site = __sync_fetch_and_add(&last_site, 1) + 1;
		if (!send_stack(site, key.start))
			return 0;
		bpf_map_update_elem(&sites, &key, &site, BPF_ANY);
	}
	if (key.hash && way->count <= WAY_WORDS)
		way->site = site;
	return site;
}

static __always_inline __u32 take_site_with(struct scratch *s, struct task_struct *task)
{
	const struct pt_regs *regs = (const struct pt_regs *)bpf_task_pt_regs(task);
	struct way_key key;
	struct way *way;

	key.ip = user_ip(regs);
	key.sp = regs->sp;
	key.start = task->group_leader->start_boottime;
	way = &s->ways[(key.ip ^ key.sp ^ key.start) * 0x9e3779b97f4a7c15ULL >> (64 - WAY_BITS)];
	if (is_same_way(way, &key, s->words))
		return way->site;
	way->site = 0;
	way->key = key;
	return look_up_site(s->words, way);
}

/* The site of the current thread's call; 0 where none can be had. */
static __always_inline __u32 take_site(struct task_struct *task)
{
	struct scratch *s;
	__u32 zero = 0, site;

	if (!rules.stacks || task->flags & (PF_KTHREAD | PF_IO_WORKER | PF_EXITING))
		return 0;
	s = bpf_map_lookup_elem(&scratches, &zero);
	if (!s)
		return 0;
	if (__sync_lock_test_and_set(&s->taken, 1)) {
		count(&counts.stacks_refused);
		return 0;
	}
	site = take_site_with(s, task);
	*(volatile __u32 *)&s->taken = 0;
	return site;
}

static __always_inline bool is_suspect(void)
{
	__u32 tgid;

	if (!suspecting)
		return false;
	if (rules.made && !rules.by_owner)
		return true;
	tgid = process_of(bpf_get_current_task_btf());
	return bpf_map_lookup_elem(&suspects, &tgid) ||
	       (rules.by_owner && owner_fits(bpf_get_current_task_btf()));
}

/* Only TCP's sockets are seen to be destroyed. */
static __always_inline void record_made(__u64 sk)
{
	__u32 site;

	if (BPF_CORE_READ((const struct sock *)sk, sk_protocol) != IPPROTO_TCP)
		return;
	site = take_site(bpf_get_current_task_btf());
	if (site && bpf_map_update_elem(&made, &sk, &site, BPF_ANY))
		count(&counts.made_lost);
}

/* Not inlined: rare. */
static __noinline int record_if_suspect(__u64 sk)
{
	if (is_suspect())
		record_made(sk);
	return 0;
}
