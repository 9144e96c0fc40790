/* SPDX-License-Identifier: MIT */
/* The runs of one call of unclosed lab: several at a time, shown in order. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "lab/catalogue.h"
#include "lab/run.h"

#define JOBS_MAX 64

struct jobs_options {
	struct lab_options lab;
	unsigned at_once; /* 0: six for each processor */
	bool mute;        /* nothing is shown before all have ended */
};

struct job {
	struct catalogue_entry *entry;
	struct lab_script script;
	struct lab_options
		options; /* of this run: one that is refused namespaces is run again without */
	struct tl_run *run;
	pid_t pid; /* 0: not started, or ended */
	bool started, ended;
};

struct jobs {
	struct catalogue all, chosen;
	struct job *jobs;
	size_t n;
	int64_t elapsed_us;
	int interrupted; /* the signal that ended it */
};

/* Finds the scenarios that the words name; the five experiments where there is no word. Returns 0;
 * -ENOENT where a word names nothing; another -errno. Always with text. */
int jobs_choose(struct jobs *jobs, const char *const *words, size_t n, struct err *e);

/* Shows a run that has ended. Returns 0 or -errno. */
typedef int jobs_show_fn(const struct tl_run *run, void *arg);

/* Runs all, and calls `show` (may be NULL) for each in order. Ends all at once on SIGINT, SIGTERM
 * or SIGHUP: jobs->interrupted then says so. Returns 0 or -errno with text. */
int jobs_run(struct jobs *jobs, const struct jobs_options *options, jobs_show_fn *show, void *arg,
	     struct err *e);

void jobs_free(struct jobs *jobs);
