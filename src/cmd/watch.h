/* SPDX-License-Identifier: MIT */
/* unclosed watch: what the options ask for, and the run. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "doctor/watch.h"
#include "report/style.h"

#define WATCH_MAX_PIDS 64

/* The processes that --pid names. */
struct watch_named {
	int pidfds[WATCH_MAX_PIDS];
	unsigned count, ended; /* the first so many have ended */
};

struct watch_job {
	struct doctor_setup setup;
	int64_t duration, interval; /* ns; 0: until interrupted; none */
	bool json, draw;
	bool plain; /* lines, also on a terminal */
	pid_t pids[WATCH_MAX_PIDS];
	unsigned pid_count;
	struct watch_named named;
	const char *comm;   /* --comm; NULL: none */
	char **command;     /* NULL: none */
	const char *output; /* file; NULL: stdout, or stderr beside a command */
};

/* Runs it. Returns an enum exit_code. */
int watch_run(struct watch_job *job);

/* A program that waits to be started. */
struct watch_child {
	pid_t pid;
	int go;                /* closing it without a word lets the child end */
	int failed;            /* gives the errno of an exec that failed, else end of file */
	sigset_t mask;         /* signals that the watch was started with as blocked */
	void (*on_pipe)(int);  /* what the watch was started to do at a SIGPIPE, */
	void (*on_child)(int); /* and at a SIGCHLD: the command is to be, too */
};

/* Makes the process; watch_child_start() lets it run the command. Returns 0 or -errno. */
int watch_child_make(struct watch_child *c, char **command, struct err *e);
/* Returns 0, or -errno with text where the command cannot be run. Waits for its exec. */
int watch_child_start(struct watch_child *c, char **command, struct err *e);

/* Returns 0, or -ENOENT with text where there is no such process, or another -errno with text.
 * Close it in each case. */
int watch_named_open(struct watch_named *n, const pid_t *pids, unsigned count, struct err *e);
/* Whether all have ended; never where none were named. */
bool watch_named_ended(struct watch_named *n);
/* Readable when watch_named_ended() may say something else; -1: it will not. */
int watch_named_fd(const struct watch_named *n);
void watch_named_close(struct watch_named *n);
/* Says on stderr that no process that is meant has the name of --comm now, where it is so. */
void watch_named_note(const struct watch_job *job);
