/* SPDX-License-Identifier: MIT */
/* What the files that make up kernel/watch.h share. */
#pragma once

#include <bpf/libbpf.h>

#include "kernel/watch.h"
#include "watch.skel.h"

struct watch {
	struct watch_bpf *skel;
	struct ring_buffer *ring, *stack_ring;
	enum watch_reads reads;
	bool accepts_traced;
	uint32_t pidns; /* inode of ours; 0: the initial one */
	uint32_t room;  /* reports that the buffer holds */
	uint64_t first_jiffies, first_now;
	watch_event_fn *each;
	watch_stack_fn *each_stack;
	void *arg;
	struct bpf_link *on_accept;  /* NULL: nobody is suspected yet */
	struct bpf_link *on_destroy; /* NULL: nor is any end dead */
	bool detached;
	struct watch_ended_lag *ended; /* taken out of the kernel's map */
	uint32_t ended_count, ended_cap;
	uint32_t lags_most; /* rows in the map at which some are taken out; 0: not known yet */
};

/* Of all processes of one name that have ended. */
struct watch_ended_lag {
	struct watch_lag_key key; /* without a process */
	struct watch_lag lag;
};

/* Where the map of close lags fills up, takes out those of processes that have ended, and adds them
 * up by name and port. Returns 0, or -errno with text. */
int watch_fold_lags(struct watch *w, struct err *e);
