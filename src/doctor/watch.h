/* SPDX-License-Identifier: MIT */
/* The live doctor: joins what the kernel programs send with the owners of descriptors, and says it
 * line by line. One thread; nothing is printed here. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "kernel/watch.h"
#include "tcp/watch.h"

struct doctor;

struct doctor_setup {
	struct watch_setup watch;
	bool skip_present; /* do not take in what is half-closed already */
	const pid_t
		*pids; /* where watch.rules.by_owner: the processes; need not outlive the call */
	unsigned pid_count;
};

/* Gets each line; valid during the call. */
typedef void doctor_line_fn(const struct tw_line *line, void *arg);

/* Loads the programs and takes in what is half-closed already. Errors as watch_open(). */
int doctor_open(struct doctor **out, const struct doctor_setup *setup, doctor_line_fn *each,
		void *arg, struct err *e);
/* Ends the watch where it runs, and frees; NULL does nothing. */
void doctor_close(struct doctor *d);

/* Readable when something may have happened. */
int doctor_fd(const struct doctor *d);

/* Does what is due and says the lines. Returns 0 with the milliseconds until it wants to be called
 * again in `wait_ms`, or -errno with text. What fails for lack of memory is tried again in later
 * calls, for a minute. Does not block. */
int doctor_turn(struct doctor *d, int *wait_ms, struct err *e);

/* Ends the watch: what the kernel has sent is said, and then the counts are final. Also for after
 * an error of doctor_turn(). Waits up to 5 s for stacks that are being read. */
int doctor_finish(struct doctor *d, struct err *e);

/* Counts so far. */
struct tw_summary doctor_summary(const struct doctor *d);

/* The watch that it runs, for what only that can be asked: tier, lags, who still runs. Owned by the
 * doctor; never NULL. */
struct watch *doctor_watch(const struct doctor *d);
