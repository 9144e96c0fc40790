/* SPDX-License-Identifier: MIT */
/* What the two tiers of a snapshot share. */
#pragma once

#include "doctor/builder.h"
#include "doctor/snapshot.h"
#include "kernel/diag.h"
#include "kernel/sockets.h"

/* Marks the census partial, with the first reason given. */
void snapshot_partial(struct census *c, const struct err *why);

/* A visit of namespaces, one after the other. */
struct snapshot_visit {
	struct builder *b;
	uint32_t netns; /* index of the one visited */
	int (*fn)(struct snapshot_visit *v, struct err *e);
	const struct snapshot_opts *opts;
	struct netns_numbers numbers; /* of the one visited, at the first visit */
	/* In the one visited, as snapshot_dump_listeners() found: how many, and how many
	 * connections they have not accepted yet. */
	uint32_t listeners;
	uint64_t queued;
};

/* Runs `fn` in each namespace of `spaces`, which are the census's, in its order; those that may not
 * be entered or that are gone are counted or passed over. The calling thread enters each and comes
 * back. Returns 0 or the first failure of `fn`, with text. */
int snapshot_visit_all(struct snapshot_visit *v, const struct netns_list *spaces, struct err *e);

/* Asks sock_diag of the namespace entered and gives the answers to `each` (as
 * diag_dump_as() does). A dump that changed under way is asked for again; one that stays broken
 * makes the census partial. Each dump has its own socket: one that was broken off blocks the next
 * (EBUSY). Returns 0 or the callback's non-zero. */
int snapshot_dump(struct snapshot_visit *v, unsigned states, bool info, diag_each_fn *each);

/* Asks for the listeners of the namespace entered, and sets has_connections from the kernel's
 * counters. Else as snapshot_dump(). */
int snapshot_dump_listeners(struct snapshot_visit *v, diag_each_fn *each);

/* Asks for the listeners, then, only where there is anything else, for `states`: walking the
 * kernel's table takes milliseconds even where it is empty. Else as snapshot_dump(). */
int snapshot_dump_all(struct snapshot_visit *v, unsigned states, bool info, diag_each_fn *each);

/* Takes in the half-closed Multipath TCP connections of the namespace visited; for `fn`. */
int snapshot_visit_mptcp(struct snapshot_visit *v, struct err *e);

/* The callback that takes in every socket; its argument is the visit. */
int snapshot_take_socket(const struct tcp_sample *s, void *visit);

/* Whether every process on the host can be looked at from here: the initial pid namespace, with
 * CAP_SYS_PTRACE. */
bool snapshot_sees_all_processes(void);

/* Looks again at the sockets whose cause one look cannot prove, and sets `flowing`, `all_seen` and
 * the verdict. `sockets`: NULL without BPF. Waits where it must. Returns 0 or -errno with text. */
int snapshot_look_again(struct builder *b, const struct snapshot_opts *opts,
			const struct netns_list *spaces, struct sockets *sockets, struct err *e);

/* The tiers: fill the builder. Return 0 with `*all_seen` set, or -errno with text. */
int snapshot_bpf(struct builder *b, const struct snapshot_opts *opts,
		 const struct netns_list *spaces, struct sockets *sockets, bool *all_seen,
		 struct err *e);
int snapshot_proc(struct builder *b, const struct snapshot_opts *opts,
		  const struct netns_list *spaces, bool *all_seen, struct err *e);
