/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * Every actor runs under ptrace(2) with a seccomp filter that stops it (SECCOMP_RET_TRACE) only at
 * the calls of trace_call.c; all others run at full speed. At such a stop the process is halted
 * inside the kernel before the call; one PTRACE_SYSCALL later it stops again, with the result. What
 * a call means for the connection is trace_call.c's; here are the tasks and their stops.
 *
 * A child is seized (PTRACE_SEIZE) while it waits in trace_prepare_child() or still sets itself up;
 * any moment will do, as nothing of that changes its credentials so that it could no longer be
 * traced (prctl(PR_CAPBSET_DROP) and setns() leave it dumpable). The kernel then refuses with EPERM
 * in two cases only (kernel/ptrace.c, ptrace_attach()): the child has ended already, or somebody
 * else traces it, as under strace -f. Which it was is asked and said.
 *
 * The end of a process is seen at the PTRACE_EVENT_EXIT of its last thread, before the kernel
 * closes its descriptors. Where a thread that is not the first executes a program, the kernel gives
 * it the first one's number and says which it had (PTRACE_EVENT_EXEC); the others end without a
 * word.
 */
#include "lab/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "lab/trace_call.h"

void trace_start(struct trace *t, struct record *rec, const struct trace_hooks *hooks)
{
	memset(t, 0, sizeof(*t));
	t->rec = rec;
	t->hooks = *hooks;
}

int trace_prepare_child(int sync)
{
	scmp_filter_ctx filter;
	char go;
	int r;

	if (fd_read_all(sync, &go, 1) != 1)
		return -ECHILD;
	filter = seccomp_init(SCMP_ACT_ALLOW);
	if (!filter)
		return -ENOMEM;
	r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 1);
	if (r == 0) /* a 32-bit program runs, unseen */
		r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW);
	for (size_t i = 0; call_number(i) >= 0 && r == 0; i++)
		r = seccomp_rule_add(filter, SCMP_ACT_TRACE(0), call_number(i), 0);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}

static struct trace_task *find(struct trace *t, pid_t tid)
{
	for (unsigned i = 0; i < t->ntasks; i++)
		if (t->tasks[i].tid == tid)
			return &t->tasks[i];
	return NULL;
}

static struct trace_task *add(struct trace *t, pid_t tid, pid_t tgid)
{
	struct trace_task *task;

	if (t->ntasks == TRACE_MAX_TASKS) {
		t->tasks_lost++;
		return NULL;
	}
	task = &t->tasks[t->ntasks++];
	*task = (struct trace_task){ .tid = tid, .tgid = tgid };
	task->pidfd = (int)syscall(SYS_pidfd_open, tgid, 0);
	return task;
}

static void forget(struct trace *t, struct trace_task *task)
{
	fd_close(task->pidfd);
	*task = t->tasks[--t->ntasks];
}

int trace_attach(struct trace *t, pid_t pid, int sync, int actor, enum tl_side side,
		 const char *comm, struct err *e)
{
	long options = PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACESECCOMP |
		       PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
		       PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXIT;
	struct trace_task *task;
	int r = 0;

	if (ptrace(PTRACE_SEIZE, pid, 0, options) < 0)
		r = err_errno(e, -errno, "tracing %s (ptrace)", comm);
	if (r == 0) {
		task = add(t, pid, pid);
		if (task) {
			task->actor = actor;
			task->side = side;
			snprintf(task->comm, sizeof(task->comm), "%s", comm);
		}
		r = fd_write_all(sync, "g", 1);
		if (r < 0)
			err_errno(e, r, "starting %s", comm);
	}
	close(sync);
	return r;
}

/* Reads one number from /proc/TID/status; -1 where it cannot be had. */
static int status_field(pid_t tid, const char *field)
{
	char path[40], text[2048], *at;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	if (fd_read_text(path, text, sizeof(text)) <= 0)
		return -1;
	at = strstr(text, field);
	return at ? (int)strtol(at + strlen(field), NULL, 10) : -1;
}

static void resume(const struct trace_task *task, pid_t tid, int sig)
{
	bool to_exit = task && task->call.active;

	ptrace(to_exit ? PTRACE_SYSCALL : PTRACE_CONT, tid, 0, (long)sig);
}

static void adopt_child(struct trace *t, struct trace_task *parent, bool is_clone)
{
	unsigned long message = 0;
	struct trace_task copy = *parent, *child;
	pid_t tid, tgid;
	int field;

	if (ptrace(PTRACE_GETEVENTMSG, parent->tid, 0, &message) < 0)
		return;
	tid = (pid_t)message;
	field = is_clone && t->proc ? status_field(tid, "\nTgid:") : -1;
	tgid = field > 0 ? field : tid;
	child = find(t, tid);
	if (child && child->tgid != tgid) { /* held, and taken for a process */
		forget(t, child);
		child = add(t, tid, tgid);
		if (child)
			child->held = true;
	}
	if (!child)
		child = add(t, tid, tgid);
	if (!child)
		return;
	child->actor = copy.actor;
	child->side = copy.side;
	child->touched = copy.touched;
	memcpy(child->comm, copy.comm, sizeof(child->comm));
	if (child->held) {
		child->held = false;
		resume(child, tid, 0);
	}
	if (tgid == tid && t->hooks.forked)
		t->hooks.forked(t->hooks.arg, copy.actor, tid);
}

static void after_exec(struct trace_task *task)
{
	char path[40];
	_fd_ int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/comm", task->tgid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = fd_read_all(fd, task->comm, sizeof(task->comm) - 1);
	if (n > 0)
		task->comm[n - (task->comm[n - 1] == '\n')] = '\0';
}

/* A new child may stop before its maker's fork is reported. It stands still until then, so that
 * none of its calls is missed. Returns false where there is no room to remember it. */
static bool hold_early(struct trace *t, pid_t tid)
{
	struct trace_task *child = add(t, tid, tid);

	if (child)
		child->held = true;
	return child;
}

/* The end of a thread; that of the last one is the process's. */
static void exits(struct trace *t, struct trace_task *task)
{
	bool last = true;

	task->call.active = false;
	task->exiting = true;
	for (unsigned i = 0; i < t->ntasks; i++) {
		struct trace_task *other = &t->tasks[i];

		if (other->tgid != task->tgid || other == task)
			continue;
		last &= other->exiting;
		task->touched |= other->touched;
		other->touched |= task->touched;
	}
	if (last)
		call_exit(t, task);
}

/* A program takes the place of a process: of all its threads one goes on, under the first one's
 * number. */
static void executes(struct trace *t, struct trace_task *task)
{
	unsigned long former = 0;
	pid_t tid = task->tid;

	ptrace(PTRACE_GETEVENTMSG, tid, 0, &former);
	if ((pid_t)former != tid) {
		struct trace_task *stale = find(t, (pid_t)former);

		if (stale)
			forget(t, stale);
		task = find(t, tid);
		task->exiting = false; /* the thread that had this number has ended */
		task->call = (struct trace_call){ 0 };
	}
	if (t->proc)
		after_exec(task);
	if (t->hooks.executed)
		t->hooks.executed(t->hooks.arg, task->actor);
}

/* The child of a task that is not watched is not either. */
static void let_go(struct trace *t, pid_t maker)
{
	unsigned long message = 0;
	struct trace_task *child;

	ptrace(PTRACE_GETEVENTMSG, maker, 0, &message);
	child = find(t, (pid_t)message);
	if (!child || !child->held)
		return;
	resume(NULL, child->tid, 0);
	forget(t, child);
}

/* A stop of ptrace's own making: (status >> 8) is SIGTRAP | event << 8. */
static void handle_event(struct trace *t, struct trace_task *task, pid_t tid, int status)
{
	struct __ptrace_syscall_info info;
	int event = status >> 16, sig = WSTOPSIG(status);

	switch (event) {
	case PTRACE_EVENT_SECCOMP:
		if (task && ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info) > 0 &&
		    info.op == PTRACE_SYSCALL_INFO_SECCOMP)
			call_enter(t, task, &info);
		break;
	case PTRACE_EVENT_FORK:
	case PTRACE_EVENT_VFORK:
	case PTRACE_EVENT_CLONE:
		if (task)
			adopt_child(t, task, event == PTRACE_EVENT_CLONE);
		else
			let_go(t, tid);
		task = find(t, tid);
		break;
	case PTRACE_EVENT_EXEC:
		if (task)
			executes(t, task);
		task = find(t, tid);
		break;
	case PTRACE_EVENT_EXIT:
		if (task)
			exits(t, task);
		break;
	case PTRACE_EVENT_STOP:
		if (!task && hold_early(t, tid))
			return;
		if (sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU) {
			if (ptrace(PTRACE_LISTEN, tid, 0, 0) == 0 && task)
				task->stopped = true;
			return;
		}
		break;
	default:
		break;
	}
	resume(task, tid, 0);
}

bool trace_adopted(struct trace *t, pid_t pid, int actor, const char *comm)
{
	struct trace_task *task = find(t, pid);

	if (!task)
		return false;
	task->actor = actor;
	snprintf(task->comm, sizeof(task->comm), "%s", comm);
	return true;
}

/* What SIGCONT wakes stops once more, which is a status to wait for; one that listens has none. */
bool trace_is_stopped(const struct trace_task *task)
{
	siginfo_t news = { 0 };

	return task->stopped &&
	       waitid(P_PID, (id_t)task->tid, &news,
		      WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL) == 0 &&
	       news.si_pid == 0;
}

bool trace_handle(struct trace *t, pid_t tid, int status, struct err *e)
{
	struct trace_task *task = find(t, tid);
	struct __ptrace_syscall_info info;

	if (task)
		task->stopped = false;
	if (WIFEXITED(status) || WIFSIGNALED(status)) {
		bool process = task && task->tid == task->tgid;

		if (task)
			forget(t, task);
		return process;
	}
	if (!WIFSTOPPED(status))
		return false;
	if (status >> 16) {
		handle_event(t, task, tid, status);
	} else if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
		if (task && ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info) > 0 &&
		    info.op == PTRACE_SYSCALL_INFO_EXIT)
			call_leave(t, task, &info, e);
		resume(task, tid, 0);
	} else {
		resume(task, tid, WSTOPSIG(status));
	}
	return false;
}

void trace_free(struct trace *t)
{
	while (t->ntasks > 0)
		forget(t, &t->tasks[0]);
}
