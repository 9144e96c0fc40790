/* SPDX-License-Identifier: MIT */
/* Watches the actors' own calls on TCP sockets, and records them where they happen. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "lab/record.h"

#define TRACE_MAX_TASKS 256

/* A call between its entry and its return. */
struct trace_call {
	bool active;
	bool acts;        /* it stands where it began; `event` is its place */
	bool ends;        /* it has read the end of the stream */
	bool disconnects; /* a connect(2) to AF_UNSPEC: the end of a connection, not a new one */
	bool interrupted; /* by a signal: what is entered next may be this call again */
	int nr;
	uint64_t args[6];
	uint32_t event; /* index of the event, UINT32_MAX where it was not recorded */
	uint16_t conn;
	uint8_t side;
};

/* A thread of an actor. */
struct trace_task {
	pid_t tid, tgid;
	int pidfd; /* of tgid; -1 where it could not be had */
	int actor; /* index into the run's actors */
	enum tl_side side;
	bool held;    /* it stood still before its maker's fork was seen, and still does */
	bool exiting; /* its end has been seen */
	bool stopped; /* by a signal (SIGSTOP), until another lets it go on */
	bool touched; /* its process has, or inherited, a TCP socket: its end is worth recording */
	char comm[16];
	struct trace_call call;
};

/* Told what the run waits for. Any may be NULL. */
struct trace_hooks {
	void *arg;
	void (*listens)(void *arg, int actor, uint16_t port); /* an actor called listen() */
	void (*executed)(void *arg, int actor);               /* a program took its place */
	void (*forked)(void *arg, int actor, pid_t child);
};

struct trace {
	struct record *rec;
	struct trace_hooks hooks;
	bool proc; /* /proc may be read: it shows the actors */
	struct trace_task tasks[TRACE_MAX_TASKS];
	unsigned ntasks;
	unsigned tasks_lost;
};

/* Begins, with no task traced. What the actors do goes into `rec`, and to `hooks`, which are copied
 * by reference: both outlive the trace. Cannot fail. */
void trace_start(struct trace *t, struct record *rec, const struct trace_hooks *hooks);

/* In the child that is to be traced, before it executes: waits until the tracer has attached
 * (`sync` is the read end of a pipe that it writes to), then asks the kernel to stop at the calls
 * that matter. Returns 0 or -errno. */
int trace_prepare_child(int sync);

/* Attaches to a child in trace_prepare_child() and lets it go on. `sync` is the pipe's write end,
 * closed here. Returns 0 or -errno with text. */
int trace_attach(struct trace *t, pid_t pid, int sync, int actor, enum tl_side side,
		 const char *comm, struct err *e);

/* Says that a process which a traced one has forked is an actor of its own. Returns false where no
 * traced process has that number. */
bool trace_adopted(struct trace *t, pid_t pid, int actor, const char *comm);

/* Whether a task stands still after a signal such as SIGSTOP, with no word of it left to handle. */
bool trace_is_stopped(const struct trace_task *task);

/* Handles one status of waitpid(2). Returns true where the task is a traced one and its process has
 * ended: the caller then knows its exit status. Returns false otherwise; errors of a task that died
 * meanwhile are none. */
bool trace_handle(struct trace *t, pid_t tid, int status, struct err *e);

/* Closes what is open. */
void trace_free(struct trace *t);
