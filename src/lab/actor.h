/* SPDX-License-Identifier: MIT */
/* Actors: the processes that use the sockets. A program is any command, run as it is; a puppet is a
 * process that makes the socket calls that the scenario tells it. Both live on a host, and both are
 * traced in the same way (lab/trace.h). */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "lab/net.h"

#define ACTOR_MAX          64
#define ACTOR_OUTPUT_BYTES 65536

enum actor_kind {
	ACTOR_PROGRAM,
	ACTOR_PUPPET,
};

struct actor {
	enum actor_kind kind;
	enum tl_side side;
	pid_t pid;
	char name[16];
	int output[2]; /* read ends of its stdout and stderr; -1 when at end */
	char *text[2]; /* what it wrote there, NUL-terminated */
	size_t len[2], lost[2];
	int command;   /* puppet: our end of its command socket; -1 */
	bool busy;     /* puppet: a call has not been answered so far */
	bool executed; /* program: it runs its own code */
	int *failure;  /* shared with the child: -errno where it could not be set up; 0 */
	bool exited;
	int status;       /* as of waitpid(2) */
	uint16_t listens; /* the port it listens on; 0: it does not */
};

/* What a program is started with. */
struct actor_program {
	const char *path; /* to execute */
	char *const *argv;
	bool read_only; /* it sees the whole file system read-only */
	int *failure;   /* in memory shared with the child; see struct actor */
};

struct trace;

/* Starts a program on a host, traced as actor number `index`. Its command has been executed when
 * the trace says so (trace_hooks.executed); where that fails, the process ends before and
 * *program->failure says why. Returns 0 with `a` filled, or -errno with text. */
int actor_start_program(struct actor *a, const struct lab_net *net, struct trace *trace, int index,
			enum tl_side side, const struct actor_program *program, struct err *e);

/* Starts a puppet, likewise; it is ready at once. */
int actor_start_puppet(struct actor *a, const struct lab_net *net, struct trace *trace, int index,
		       enum tl_side side, const char *name, int *failure, struct err *e);

/* Why an actor that has ended was never set up or executed: "No such file or directory"; NULL where
 * it was. */
const char *actor_failure(const struct actor *a);

/* Takes a child that a puppet made with fork as an actor of its own. */
void actor_adopt(struct actor *a, const struct actor *parent, pid_t pid, int command,
		 const char *name);

/* Reads once from each of the actor's streams. Never blocks. Returns true where anything was new,
 * and there may be more. */
bool actor_read_output(struct actor *a);

/* The last line that the actor wrote on stderr, or "". Writes into buf, returns it. */
const char *actor_last_words(const struct actor *a, char *buf, size_t cap);

/* Closes descriptors and frees the output. The process is the run's to end. */
void actor_free(struct actor *a);
