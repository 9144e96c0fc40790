/* SPDX-License-Identifier: MIT */
/* What an actor's call means for the connection. Only for trace.c, which stops the actors at these
 * calls. */
#pragma once

#include <sys/ptrace.h>

#include "lab/trace.h"

/* The number of the i-th call that an actor is stopped at; -1 where there are no more. */
int call_number(size_t i);

/* A task is about to make a call: `info` is of a PTRACE_EVENT_SECCOMP. */
void call_enter(struct trace *t, struct trace_task *task, const struct __ptrace_syscall_info *info);

/* The call has returned: `info` is of the stop at its end. */
void call_leave(struct trace *t, struct trace_task *task, const struct __ptrace_syscall_info *info,
		struct err *e);

/* The task's process ends, and holds its descriptors still: to be called at the PTRACE_EVENT_EXIT
 * of its last thread. */
void call_exit(struct trace *t, const struct trace_task *task);
