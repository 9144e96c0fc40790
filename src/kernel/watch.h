/* SPDX-License-Identifier: MIT */
/* Loads the watch programs, runs them, and hands on what they send. One thread uses a watch at a
 * time. Nothing of it outlives the process: programs and maps hang on its descriptors. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "kernel/bpf/watch.h"

/* How reads that return 0 are seen. */
enum watch_reads {
	WATCH_READS_AUTO = 0,   /* the first of the others that this kernel allows */
	WATCH_READS_TRACEPOINT, /* sock_recv_length: Linux 6.3 and later */
	WATCH_READS_FEXIT,      /* the return of tcp_recvmsg() */
	WATCH_READS_SYSCALLS,   /* the return of the read calls; io_uring's reads are not seen */
	WATCH_READS_COUNT
};

/* "sock_recv_length", "fexit", "syscalls"; NULL past the end. */
const char *watch_reads_name(enum watch_reads how);

/* Gets what libbpf and the kernel's verifier say, whole lines. */
typedef void watch_log_fn(const char *text);

struct watch_setup {
	struct watch_rules rules;
	enum watch_reads reads;
	uint32_t buffer;   /* bytes for events on their way; 0: the default; a power of two pages */
	watch_log_fn *log; /* of the loading; NULL: nobody wants it */
};

struct watch;

/* Loads and attaches. Returns 0 with an owned watch in `out`; -EPERM or -EACCES where it
 * is not permitted, with what is missing in the text; another -errno with text. Takes some 100 ms.
 */
int watch_open(struct watch **out, const struct watch_setup *setup, struct err *e);

/* Detaches all programs: the counters stand still, what waits in the buffers can still be had. */
void watch_detach(struct watch *w);

/* Attaches what watch_detach() has detached. What happened meanwhile was not seen: ends that were
 * followed may be followed for ever: only bench/watch/turns.c calls it, to measure in turns.
 * Returns 0, or -errno with text, and then some may be attached: close it. */
int watch_attach(struct watch *w, struct err *e);

/* Detaches and frees; NULL does nothing. */
void watch_close(struct watch *w);

/* The tier that was found: how reads are seen. */
enum watch_reads watch_reads(const struct watch *w);

/* Whether accept(), where it has to be seen, is seen at the return of inet_accept(); else at that
 * of every system call. */
bool watch_accepts_traced(const struct watch *w);

/* Whether every process of the host has a number here: not so in a pid namespace, where those
 * outside of it hold descriptors unseen. */
bool watch_sees_all_processes(const struct watch *w);

/* Readable when events wait; when stacks do. Owned by the watch. */
int watch_fd(const struct watch *w);
int watch_stack_fd(const struct watch *w);

/* Gets each event. Return non-zero to stop; watch_turn() then returns that. */
typedef int watch_event_fn(const struct watch_event *event, void *arg);

/* Gets each stack; one that an event refers to comes before it. */
typedef void watch_stack_fn(const struct watch_stack *stack, void *arg);

/* Changes of state that were missed, as an interrupt came while another was looked at: what became
 * half-closed then is not followed, but where it is taken in. */
uint64_t watch_missed_changes(const struct watch *w);

/* From now on only what became half-closed, or dead, after this is taken in; CLOCK_MONOTONIC ns. Of
 * what does not say since when, the last sign of life counts. */
void watch_take_in_since(struct watch *w, uint64_t since);

/* Stacks of sites before this one are not kept any more: where such a place is come to again, its
 * stack is sent again, as of a new site. */
void watch_forget_stacks(struct watch *w, uint32_t oldest);

/* What a turn found. */
struct watch_found {
	uint64_t next;    /* nothing comes due before this; CLOCK_MONOTONIC ns */
	uint64_t wanted;  /* ends that wait for their owner to be matched: watch_owners() does it */
	uint32_t due;     /* ends that came due */
	bool more;        /* so many came due that some are left for another turn */
	uint64_t tick_ns; /* the kernel's jiffy, as measured so far; 0: not yet */
};

/* Looks for what has come due, then hands on all events that wait. Takes some 0.1 ms. Does not
 * block. Returns 0 with `found` filled, the callback's non-zero, or -errno with text. */
int watch_turn(struct watch *w, watch_event_fn *each, void *arg, struct watch_found *found,
	       struct err *e);

/* The same, but passes over some where very many are followed: `found->next` is not of all. Marks
 * the stacks of what is not due yet, but `ahead` ns old. */
int watch_glance(struct watch *w, uint64_t ahead, watch_event_fn *each, void *arg,
		 struct watch_found *found, struct err *e);

/* Gets the number of a site, modulo WATCH_SITES. */
typedef void watch_site_fn(uint32_t slot, void *arg);

/* Gives the stacks that were marked since the last call, each once, in no order. */
void watch_marked(struct watch *w, watch_site_fn *each, void *arg);

/* Has a WATCH_LOOK sent of a reported end, where it is not over. It waits to be handed on. */
int watch_look(struct watch *w, uint64_t sk, uint64_t began, struct err *e);

/* Hands on the events that wait, and looks for nothing: for after watch_detach(). */
int watch_drain(struct watch *w, watch_event_fn *each, void *arg, struct err *e);

/* Hands on the stacks that wait. Called before an event is made use of that refers to one. */
int watch_stacks(struct watch *w, watch_stack_fn *each, void *arg, struct err *e);

/* Has it recorded where the process makes its sockets, from now on. The first time this makes every
 * system call of the machine a little slower, but where accept() can be traced. */
int watch_suspect(struct watch *w, pid_t pid, struct err *e);

typedef void watch_owner_fn(const struct watch_owner *owner, void *arg);

/* Events that the walk brings about go to the callback of the last watch_turn(), each before the
 * owners that were seen after it.
 * Walks every descriptor of every process and gives those that refer to a reported end, and, with a
 * `began` of 0, to a listener in whose accept queue one waits. With `take_in`, first follows every
 * end that is half-closed or dead now. Blocks for about a microsecond per descriptor on the
 * machine.
 */
int watch_owners(struct watch *w, bool take_in, watch_owner_fn *each, void *arg, struct err *e);

/* The same as watch_owners(), without `take_in`, for the processes that hold one of the `count`
 * files alone, which are named as in watch_event; or, with a count of 0, that are watched. Where
 * they are few and small it takes a millisecond, and 10 ns for each descriptor of the machine.
 * Returns -EOVERFLOW where they are many, or the files are; -EOPNOTSUPP where the kernel cannot
 * walk over one process (before Linux 6.1): then watch_owners() has to. */
int watch_owners_of(struct watch *w, const uint64_t *files, unsigned count, watch_owner_fn *each,
		    void *arg, struct err *e);

/* At which listener, as the walk gave it, a reported end was seen to wait in the last one over all
 * descriptors that saw it; 0: at none. Returns 0, or -errno with text. */
int watch_listener(struct watch *w, uint64_t sk, uint64_t began, uint64_t *listener, struct err *e);

/* Whether a walk since the last call has left ends unmatched for lack of room for their reports. */
bool watch_was_crowded(struct watch *w);

/* After a walk over those who are watched, where rules.by_owner is set: reports the ends that
 * waited for their owner, and to which no descriptor refers, but of which one who is watched was
 * told. A few milliseconds where there may be some, and 10 ns for each descriptor of the machine.
 * Not in a pid namespace, where others may have descriptors unseen. */
int watch_settle_claims(struct watch *w, watch_event_fn *each, void *arg, struct err *e);

/* Whether what is taken in ought to be followed already; what is not counts as unheard. */
void watch_audits(struct watch *w, bool audits);

/* Follows every end that is half-closed now in the calling thread's network namespace, those in
 * accept queues included, which watch_owners() cannot see. */
int watch_take_in(struct watch *w, struct err *e);

/* Adds a process to those that are watched, where rules.by_owner is set. */
int watch_add_pid(struct watch *w, pid_t pid, struct err *e);

/* Counts the processes that still run and are watched because an ancestor was, or was named, where
 * rules.by_owner is set. One whose threads have all ended is none, though nobody has waited for it.
 * Returns 0, or -errno with text. */
int watch_pids_left(struct watch *w, unsigned *left, struct err *e);

/* A counter, and whether it is one of the array's, not of the map's. */
typedef void watch_lag_fn(const struct watch_lag_key *key, const struct watch_lag *lag,
			  bool in_slot, void *arg);

/* Gives every counter of the close lag, in no order. One key may have two, in the array and in the
 * map, of which each has counted others; and the map's may be given twice. Where there were very
 * many, those of processes that have ended have no process any more (`start` and `tgid` are 0), and
 * one for each name, port and size. */
int watch_lags(struct watch *w, watch_lag_fn *each, void *arg, struct err *e);

/* A consistent enough copy of the kernel's counters: each is exact, but not all at one moment. */
struct watch_counts watch_counts(const struct watch *w);

/* Calls of the programs that the kernel left out: a program that an interrupt stops is not run
 * again on the same CPU before it ends. What they would have seen was not seen. 0 where the kernel
 * does not tell. */
uint64_t watch_missed(const struct watch *w);

/* The ends that were followed since the start. */
uint64_t watch_followed(const struct watch *w);
