/* SPDX-License-Identifier: MIT */
/* Several processes that serve one port, and one that watches over them. */
#pragma once

#include "base/err.h"
#include "daytime/counters.h"
#include "daytime/log.h"

#define WORKERS_MAX 64

struct workers {
	unsigned count;
	struct counters *counters; /* one per worker, shared with them */
	struct log *log;
	int notify;           /* the service manager, to be told of the stop; -1: nobody */
	int pid[WORKERS_MAX]; /* 0: ended */
	unsigned running;
	bool stopping;
	bool failed; /* one ended by itself */
};

/* What a worker does: writes a byte to `ready` once it is ready, serves, and returns its exit code.
 */
typedef int workers_job(unsigned index, int ready, void *arg);

/* Makes the shared counters and blocks the signals that workers_watch() reads. Returns 0 or -errno.
 */
int workers_open(struct workers *w, unsigned count, struct log *log, int notify, struct err *e);

/* Starts them and waits until every one is ready. A worker never returns from here. Returns 0; or
 * -errno, and then none is left. */
int workers_start(struct workers *w, workers_job *job, void *arg, struct err *e);

/* Watches over them until they have ended: passes SIGTERM, SIGINT, SIGHUP and SIGUSR1 on, answers
 * SIGUSR2 with the sum of their counters. When one ends by itself the others are ended: a port
 * served in part would lose the connections that the kernel still gives to the lost one. Returns 0,
 * or -ECHILD where that happened. */
int workers_watch(struct workers *w, struct err *e);

/* The sum of what they have done. */
struct counters workers_sum(const struct workers *w);
