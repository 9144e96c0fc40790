/* SPDX-License-Identifier: MIT */
/* Stacks as the kernel copied them, kept until a report asks what they say. Most are never asked.
 * A thread reads them; see reader.h. */
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

/* The lowest site whose stack may be kept: those before are not. */
uint32_t stacks_oldest(const struct stacks *s);

/* Readable when stacks_collect() has something to do. Owned by the store. */
int stacks_fd(const struct stacks *s);

/* Takes what the thread has read. */
void stacks_collect(struct stacks *s);

/* Whether stacks_read() can say now what is to be said of that site; else it is being read, or will
 * be: ask again after stacks_collect(). */
bool stacks_ready(struct stacks *s, uint32_t site);

/* The same, but waits for it for up to `wait_ns`. */
bool stacks_await(struct stacks *s, uint32_t site, uint64_t wait_ns);

/* What the stack of that site says; NULL for site 0. A stack that is no longer kept, or not read
 * yet, has a note and no calls. Valid until the next call of one of these. */
const struct tw_stack *stacks_read(struct stacks *s, uint32_t site);

/* How many of these calls found that the stack is not kept any more, or never was for want of
 * memory. */
uint64_t stacks_missing(const struct stacks *s);

/* Has the stack read whose site is that modulo WATCH_SITES, where its process is still there: what
 * a report may need is then known before. */
void stacks_read_ahead(struct stacks *s, uint32_t slot);
