/* SPDX-License-Identifier: MIT */
/* A thread that reads stacks: libdw opens files, and unpacks debug information, for a tenth of a
 * second and more, while lines about others go out. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "kernel/bpf/watch.h"
#include "tcp/watch.h"

struct reader;

/* Stacks that may be asked for at a time. */
#define READER_JOBS 32

/* A stack that was read; ends after its last call. */
struct reader_text {
	uint32_t site;
	struct tw_stack text;
};

/* Returns an owned reader, or NULL without memory or descriptors. The thread starts with the first
 * request. */
struct reader *reader_new(void);

/* How long the thread may take to end; a tenth of a second is usual. */
#define READER_END_NS (2 * CLOCK_NS_PER_S)

/* Ends the thread, once it has read what it is at. One that is not through by then, since a server
 * does not answer, say, is left to itself, with what it uses: to be called at the end of the
 * process. NULL does nothing. */
void reader_free(struct reader *r);

/* Readable when a stack has been read. Owned by the reader. */
int reader_fd(const struct reader *r);

/* Has the stack read; takes `raw`, from malloc(), which is freed. With `urgent` it comes before
 * those that are not, also where it was asked for already. Returns 0, -EALREADY where it was asked
 * for and not been taken yet, -EAGAIN where READER_JOBS were, or another -errno. */
int reader_ask(struct reader *r, struct watch_stack *raw, bool urgent);

/* Whether the stack of that site was asked for and not been taken yet; `urgent` as above. */
bool reader_is_at(struct reader *r, uint32_t site, bool urgent);

/* The next that has been read, to be freed; NULL: none. Waits for it up to `wait_ns` while
 * something is being read. To be called until it has none: reader_fd() is quiet after the first. */
struct reader_text *reader_take(struct reader *r, uint64_t wait_ns);
