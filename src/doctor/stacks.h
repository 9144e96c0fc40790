/* SPDX-License-Identifier: MIT */
/* Stacks as the kernel copied them, kept until a report asks what they say. Most are never asked.
 */
#pragma once

#include <stdbool.h>

#include "kernel/bpf/watch.h"
#include "tcp/watch.h"

struct stacks;

/* Returns an owned store, or NULL without memory. */
struct stacks *stacks_new(void);
void stacks_free(struct stacks *s);

/* Keeps a copy. Where there is no room, the oldest go. */
void stacks_keep(struct stacks *s, const struct watch_stack *stack);

/* What the stack of that site says; NULL for site 0. A stack that is no longer kept has a note and
 * no calls. Valid until the next call. Reads files of its process the first time. */
const struct tw_stack *stacks_read(struct stacks *s, uint32_t site);

/* Reads the oldest stack that was taken before `before` (CLOCK_MONOTONIC, ns) and not looked at
 * yet, if its process is still there: the files that a report will need are then known. Returns
 * whether it read one. */
bool stacks_read_ahead(struct stacks *s, uint64_t before);
