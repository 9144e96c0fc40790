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
};
