/* SPDX-License-Identifier: MIT */
#include "kernel/watch.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "kernel/proc.h"
#include "kernel/prototype.h"
#include "kernel/watch_private.h"
#include "kernel/watch_refused.h"

/* What a turn may leave to its caller to keep in mind at once. */
#define MOST_A_TURN 4096

/* So many jiffies pass before their length is worth telling. */
#define TICKS_TO_MEASURE 10

#define RECVMSG_ARGUMENTS 5

/* Sockets of which it is known where they were made, where every process is a suspect. */
#define ALL_MADE 262144

#define DEFAULT_BUFFER (1u << 20)
/* Bytes before each record in the ring: BPF_RINGBUF_HDR_SZ. */
#define RECORD_HEADER 8

static const char *const reads_names[WATCH_READS_COUNT] = {
	[WATCH_READS_AUTO] = "auto",
	[WATCH_READS_TRACEPOINT] = "sock_recv_length",
	[WATCH_READS_FEXIT] = "fexit",
	[WATCH_READS_SYSCALLS] = "syscalls",
};

const char *watch_reads_name(enum watch_reads how)
{
	return how < WATCH_READS_COUNT ? reads_names[how] : NULL;
}

/* libbpf has one printer for the whole process, without an argument. */
static watch_log_fn *log_to;

static int say(enum libbpf_print_level level, const char *fmt, va_list args)
{
	char *text;

	if (!log_to || level == LIBBPF_DEBUG || vasprintf(&text, fmt, args) < 0)
		return 0;
	log_to(text);
	free(text);
	return 0;
}

static int on_event(void *arg, void *data, size_t size)
{
	struct watch *w = arg;

	if (size < sizeof(struct watch_event))
		return 0;
	return w->each(data, w->arg);
}

static int on_stack(void *arg, void *data, size_t size)
{
	struct watch *w = arg;

	if (size >= sizeof(struct watch_stack))
		w->each_stack(data, w->arg);
	return 0;
}

/* Who may not list the modules' types gets no name that the kernel's own types do not have, and
 * libbpf before 1.3 then fails, even where the name may be missing (bpf_rdonly_cast, before
 * Linux 6.2). But it asks for modules only once for an object, at the first such name: which this
 * is. */
static void ask_for_no_modules(struct watch *w)
{
	if (!(watch_rights().effective & 1ULL << CAP_SYS_ADMIN))
		bpf_program__set_attach_target(w->skel->progs.on_state, 0, "no such function");
}

/* Whether tcp_recvmsg() and mptcp_recvmsg() have the arguments that the programs at their returns
 * take them to have; the second may not be there. Before Linux 5.19 they had one more, `nonblock`,
 * before `flags` (net: remove noblock parameter from recvmsg() entities); some kernels of 2026 have
 * one less, `addr_len`. */
static bool knows_recvmsg(const char *function)
{
	struct btf *kernel = btf__load_vmlinux_btf();
	bool knows = kernel && prototype_arguments(kernel, function) == RECVMSG_ARGUMENTS;

	btf__free(kernel);
	return knows;
}

/* Finds where in the tree of pid namespaces this one lies: processes are known by the numbers that
 * they have here. Returns -ENOTRECOVERABLE where it is another one than /proc says. */
static int find_pidns(const struct watch *w)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	int r = bpf_prog_test_run_opts(bpf_program__fd(w->skel->progs.find_pidns), &opts);

	return r || opts.retval ? r : -ENOTRECOVERABLE;
}

static int load_at(struct watch *w, const struct watch_setup *setup, enum watch_reads how)
{
	int r;

	w->skel = watch_bpf__open();
	if (!w->skel)
		return errno ? -errno : -ENOMEM;
	ask_for_no_modules(w);
	w->skel->rodata->rules = setup->rules;
	w->skel->rodata->rules.pidns = w->pidns;
	w->skel->rodata->rules.tick = clock_tick_ns();
	bpf_map__set_max_entries(w->skel->maps.events,
				 setup->buffer ? setup->buffer : DEFAULT_BUFFER);
	bpf_program__set_autoload(w->skel->progs.on_recv_length, how == WATCH_READS_TRACEPOINT);
	bpf_program__set_autoload(w->skel->progs.on_recvmsg, how == WATCH_READS_FEXIT);
	bpf_program__set_autoload(w->skel->progs.on_mptcp_recvmsg,
				  how == WATCH_READS_FEXIT && knows_recvmsg("mptcp_recvmsg"));
	bpf_program__set_autoload(w->skel->progs.on_read_exit, how == WATCH_READS_SYSCALLS);
	bpf_program__set_autoload(w->skel->progs.on_accept, w->accepts_traced);
	bpf_program__set_autoattach(w->skel->progs.on_accept, false);
	bpf_program__set_autoattach(w->skel->progs.on_accept_exit, false);
	bpf_program__set_autoattach(w->skel->progs.on_destroy, false);
	bpf_program__set_autoload(w->skel->progs.processes, setup->rules.by_owner);
	if (setup->rules.made)
		bpf_map__set_max_entries(w->skel->maps.made, ALL_MADE);
	bpf_program__set_autoload(w->skel->progs.on_fork, setup->rules.follow);
	bpf_program__set_autoload(w->skel->progs.on_free, setup->rules.by_owner);
	r = watch_bpf__load(w->skel);
	if (!r)
		r = find_pidns(w);
	if (!r)
		r = watch_bpf__attach(w->skel);
	if (r) {
		watch_bpf__destroy(w->skel);
		w->skel = NULL;
		return r;
	}
	w->reads = how;
	return 0;
}

/* Whether a program may run where inet_accept() returns: some kernels, and some hosts' rules,
 * forbid it. */
static bool traces_accept(void)
{
	static const struct bpf_insn nothing[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int id = libbpf_find_vmlinux_btf_id("inet_accept", BPF_TRACE_FEXIT);
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_TRACE_FEXIT,
		    .attach_btf_id = id > 0 ? (uint32_t)id : 0);
	_fd_ int program = -1, link = -1;

	if (id <= 0)
		return false;
	program = bpf_prog_load(BPF_PROG_TYPE_TRACING, NULL, "GPL", nothing, 2, &opts);
	if (program >= 0)
		link = bpf_raw_tracepoint_open(NULL, program);
	return link >= 0;
}

static int load(struct watch *w, const struct watch_setup *setup, struct err *e)
{
	int r = -EOPNOTSUPP; /* where setup->reads names no tier */
	char why[192];

	for (int how = WATCH_READS_TRACEPOINT; how < WATCH_READS_COUNT; how++) {
		if (setup->reads != WATCH_READS_AUTO && (int)setup->reads != how)
			continue;
		r = how == WATCH_READS_FEXIT && !knows_recvmsg("tcp_recvmsg")
			    ? -EOPNOTSUPP
			    : load_at(w, setup, how);
		if (!r)
			return 0;
		if (r == -ENOTRECOVERABLE)
			return err_set(e, r,
				       "finding this pid namespace: /proc is of another one, "
				       "or not mounted");
	}
	if (r == -EPERM || r == -EACCES) {
		struct watch_rights rights = watch_rights();

		watch_refused(&rights, why, sizeof(why));
		return err_set(e, r, "loading the watch programs: not permitted: %s", why);
	}
	if (setup->reads != WATCH_READS_AUTO)
		return err_errno(e, r, "this kernel does not let reads be seen through %s",
				 reads_names[setup->reads]);
	return err_errno(e, r, "loading the watch programs into the kernel");
}

static int attach_late(struct bpf_link **link, struct bpf_program *program, const char *to,
		       struct err *e)
{
	if (*link)
		return 0;
	*link = bpf_program__attach(program);
	return *link ? 0 : err_errno(e, -errno, "attaching to %s", to);
}

static int attach_destroy(struct watch *w, struct err *e)
{
	int r = attach_late(&w->on_destroy, w->skel->progs.on_destroy, "tcp_destroy_sock", e);

	if (!r)
		w->skel->bss->has_destroy = true;
	return r;
}

/* Where a function's return cannot be had after all, that of the calls is. */
static int attach_where_made(struct watch *w, struct err *e)
{
	int r = attach_destroy(w, e);

	if (!r && w->accepts_traced &&
	    attach_late(&w->on_accept, w->skel->progs.on_accept, "inet_accept", e))
		w->accepts_traced = false;
	return r || w->on_accept
		       ? r
		       : attach_late(&w->on_accept, w->skel->progs.on_accept_exit, "accept", e);
}

int watch_open(struct watch **out, const struct watch_setup *setup, struct err *e)
{
	uint32_t buffer = setup->buffer ? setup->buffer : DEFAULT_BUFFER;
	int r = watch_check_descriptors(e);
	struct watch *w;

	if (r)
		return r;
	w = calloc(1, sizeof(*w));
	if (!w)
		return err_set(e, -ENOMEM, "no memory for a watch");
	log_to = setup->log;
	libbpf_set_print(say);
	w->pidns = proc_own_pidns();
	w->accepts_traced = setup->rules.stacks && setup->reads != WATCH_READS_SYSCALLS &&
			    traces_accept();
	r = load(w, setup, e);
	if (r || !w->skel) {
		free(w);
		return r;
	}
	/* Where owners are matched first, what comes due is only marked, not sent. */
	w->room = setup->rules.by_owner ? UINT32_MAX
					: buffer / (sizeof(struct watch_event) + RECORD_HEADER) / 2;
	w->ring = ring_buffer__new(bpf_map__fd(w->skel->maps.events), on_event, w, NULL);
	w->stack_ring = ring_buffer__new(bpf_map__fd(w->skel->maps.stacks), on_stack, w, NULL);
	if (!w->ring || !w->stack_ring) {
		r = err_errno(e, -errno, "mapping the watch's buffers");
		watch_close(w);
		return r;
	}
	if (setup->rules.stacks && (setup->rules.made || setup->rules.by_name)) {
		w->skel->bss->suspecting = true;
		r = attach_where_made(w, e);
		if (r) {
			watch_close(w);
			return r;
		}
	}
	*out = w;
	return 0;
}

void watch_detach(struct watch *w)
{
	w->detached = true;
	watch_bpf__detach(w->skel);
	bpf_link__destroy(w->on_accept);
	bpf_link__destroy(w->on_destroy);
	w->on_accept = w->on_destroy = NULL;
	w->skel->bss->has_destroy = false;
}

void watch_close(struct watch *w)
{
	if (!w)
		return;
	ring_buffer__free(w->ring);
	ring_buffer__free(w->stack_ring);
	bpf_link__destroy(w->on_accept);
	bpf_link__destroy(w->on_destroy);
	watch_bpf__destroy(w->skel);
	free(w->ended);
	free(w);
}

enum watch_reads watch_reads(const struct watch *w)
{
	return w->reads;
}

bool watch_accepts_traced(const struct watch *w)
{
	return w->accepts_traced;
}

bool watch_sees_all_processes(const struct watch *w)
{
	return !w->pidns;
}

int watch_fd(const struct watch *w)
{
	return ring_buffer__epoll_fd(w->ring);
}

int watch_stack_fd(const struct watch *w)
{
	return ring_buffer__epoll_fd(w->stack_ring);
}

void watch_take_in_since(struct watch *w, uint64_t since)
{
	w->skel->bss->taking_since = since;
}

void watch_forget_stacks(struct watch *w, uint32_t oldest)
{
	w->skel->bss->oldest_site = oldest;
}

/* The programs wake user space when they have come to need on_destroy. */
static int attach_what_is_wanted(struct watch *w, struct err *e)
{
	return w->skel->bss->wants_destroy && !w->detached ? attach_destroy(w, e) : 0;
}

int watch_attach(struct watch *w, struct err *e)
{
	int r = watch_bpf__attach(w->skel);

	if (r)
		return err_errno(e, r, "attaching the watch programs");
	w->detached = false;
	r = attach_what_is_wanted(w, e);
	if (!r && w->skel->bss->suspecting)
		r = attach_where_made(w, e);
	return r;
}

int watch_drain(struct watch *w, watch_event_fn *each, void *arg, struct err *e)
{
	int r;

	w->each = each;
	w->arg = arg;
	r = attach_what_is_wanted(w, e);
	if (r)
		return r;
	r = ring_buffer__consume(w->ring);
	return r < 0 ? err_errno(e, r, "reading the watch's events") : 0;
}

int watch_stacks(struct watch *w, watch_stack_fn *each, void *arg, struct err *e)
{
	int r;

	w->each_stack = each;
	w->arg = arg;
	r = ring_buffer__consume(w->stack_ring);
	return r < 0 ? err_errno(e, r, "reading the watch's stacks") : 0;
}

/* Forgets the suspects that have ended. */
static void make_room(int suspects)
{
	uint32_t pid, before;
	int r = bpf_map_get_next_key(suspects, NULL, &pid);

	while (!r) {
		before = pid;
		r = bpf_map_get_next_key(suspects, &before, &pid);
		if (kill((pid_t)before, 0) && errno == ESRCH)
			bpf_map_delete_elem(suspects, &before);
	}
}

int watch_suspect(struct watch *w, pid_t pid, struct err *e)
{
	int fd = bpf_map__fd(w->skel->maps.suspects), r;
	uint32_t key = (uint32_t)pid;
	uint8_t one = 1;

	r = bpf_map_update_elem(fd, &key, &one, BPF_ANY);
	if (r && errno == E2BIG) {
		make_room(fd);
		r = bpf_map_update_elem(fd, &key, &one, BPF_ANY);
	}
	if (r)
		return err_errno(e, -errno, "noting process %d as a suspect", (int)pid);
	w->skel->bss->suspecting = true;
	return attach_where_made(w, e);
}

/* The length of a jiffy, from two looks at both clocks. */
static uint64_t measure_tick(struct watch *w, const struct watch_turn *turn)
{
	uint64_t ticks;

	if (!w->first_jiffies) {
		w->first_jiffies = turn->jiffies;
		w->first_now = turn->now;
	}
	ticks = turn->jiffies - w->first_jiffies;
	return ticks < TICKS_TO_MEASURE ? 0 : (turn->now - w->first_now) / ticks;
}

static int run_search(struct watch *w, struct watch_turn in, watch_event_fn *each, void *arg,
		      struct watch_found *found, struct err *e)
{
	struct watch_turn turn;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &turn, .ctx_size_in = sizeof(turn));
	uint32_t due = 0;
	int r = watch_fold_lags(w, e);

	if (r)
		return r;
	in.room = w->room;
	do {
		r = attach_what_is_wanted(w, e);
		if (r)
			return r;
		turn = in;
		r = bpf_prog_test_run_opts(bpf_program__fd(w->skel->progs.mature), &opts);
		if (r)
			return err_errno(e, r, "running the watch's search");
		r = watch_drain(w, each, arg, e);
		if (r)
			return r;
		due += turn.reported;
	} while (turn.more && due < MOST_A_TURN);
	*found = (struct watch_found){ .next = turn.next,
				       .wanted = turn.wanted,
				       .due = due,
				       .more = turn.more,
				       .tick_ns = measure_tick(w, &turn) };
	return 0;
}

int watch_turn(struct watch *w, watch_event_fn *each, void *arg, struct watch_found *found,
	       struct err *e)
{
	struct watch_turn in = { .ahead = UINT64_MAX / 2 };

	return run_search(w, in, each, arg, found, e);
}

int watch_glance(struct watch *w, uint64_t ahead, watch_event_fn *each, void *arg,
		 struct watch_found *found, struct err *e)
{
	struct watch_turn in = { .but_spilled = true, .ahead = ahead };

	return run_search(w, in, each, arg, found, e);
}

/* Only the search marks, and one thread runs that and this. */
void watch_marked(struct watch *w, watch_site_fn *each, void *arg)
{
	for (uint32_t i = 0; i < WATCH_SITES / 64; i++) {
		uint64_t bits = w->skel->bss->marked[i];

		w->skel->bss->marked[i] = 0;
		for (; bits; bits &= bits - 1)
			each(i * 64 + (uint32_t)__builtin_ctzll(bits), arg);
	}
}

int watch_look(struct watch *w, uint64_t sk, uint64_t began, struct err *e)
{
	struct watch_look look = { sk, began };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &look, .ctx_size_in = sizeof(look));
	int r = bpf_prog_test_run_opts(bpf_program__fd(w->skel->progs.look_again), &opts);

	return r ? err_errno(e, r, "looking at an end again") : 0;
}

struct watch_counts watch_counts(const struct watch *w)
{
	return w->skel->bss->counts;
}

static uint64_t missed_by(const struct bpf_program *program)
{
	struct bpf_prog_info info = { 0 };
	uint32_t size = sizeof(info);
	int fd = bpf_program__fd(program);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size))
		return 0;
	return info.recursion_misses;
}

uint64_t watch_missed_changes(const struct watch *w)
{
	return missed_by(w->skel->progs.on_state);
}

uint64_t watch_missed(const struct watch *w)
{
	const struct bpf_program *programs[] = {
		w->skel->progs.on_state,
		w->skel->progs.on_destroy,
		w->skel->progs.on_recv_length,
		w->skel->progs.on_recvmsg,
		w->skel->progs.on_read_exit,
		w->skel->progs.on_mptcp_recvmsg,
		w->skel->progs.on_space,
		w->skel->progs.on_accept,
		NULL,
	};
	uint64_t sum = 0;

	for (unsigned i = 0; programs[i]; i++)
		sum += missed_by(programs[i]);
	return sum;
}

uint64_t watch_followed(const struct watch *w)
{
	uint64_t sum = 0;

	for (int i = 0; i < WATCH_CPUS; i++)
		sum += w->skel->bss->started[i].n;
	return sum;
}
