/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * Every actor runs under ptrace(2) with a seccomp filter that stops it (SECCOMP_RET_TRACE) only at
 * the calls listed below; all others run at full speed. At such a stop the process is halted inside
 * the kernel before the call, so what is recorded then stands before any packet that the call
 * causes. One PTRACE_SYSCALL later it stops again, with the result.
 *
 * Calls that act (connect, write, shutdown, close) are recorded at the first stop and get their
 * result at the second; calls that wait (accept, read) are recorded at the second. The end of a
 * process is seen at PTRACE_EVENT_EXIT, before the kernel closes its descriptors.
 *
 * Which socket a descriptor is, is asked of a copy (pidfd_getfd), which is closed before the
 * process goes on, so that it never keeps a connection open. Calls that are not on a TCP socket, or
 * that found nothing to do (EAGAIN), leave no trace. Not seen: io_uring, splice, close_range, and
 * descriptors that dup2() replaces; the packets and states that they cause are.
 */
#include "lab/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

/* What a call does, seen from the connection. */
enum call_kind {
	CALL_ACT,    /* recorded where it begins */
	CALL_WAIT,   /* recorded where it returns */
	CALL_LISTEN, /* of a socket without a connection */
};

static const struct call_row {
	int nr;
	enum call_kind kind;
	const char *name; /* as recorded: the family's plain name */
	bool counts;      /* its result is a number of bytes */
} rows[] = {
	{ SYS_connect, CALL_ACT, "connect", false },
	{ SYS_listen, CALL_LISTEN, "listen", false },
#ifdef SYS_accept
	{ SYS_accept, CALL_WAIT, "accept", false },
#endif
	{ SYS_accept4, CALL_WAIT, "accept", false },
	{ SYS_read, CALL_WAIT, "read", true },
	{ SYS_readv, CALL_WAIT, "read", true },
	{ SYS_recvfrom, CALL_WAIT, "read", true },
	{ SYS_recvmsg, CALL_WAIT, "read", true },
	{ SYS_write, CALL_ACT, "write", true },
	{ SYS_writev, CALL_ACT, "write", true },
	{ SYS_sendto, CALL_ACT, "write", true },
	{ SYS_sendmsg, CALL_ACT, "write", true },
	{ SYS_sendfile, CALL_ACT, "write", true },
	{ SYS_shutdown, CALL_ACT, "shutdown", false },
	{ SYS_close, CALL_ACT, "close", false },
	{ SYS_setsockopt, CALL_ACT, "setsockopt", false },
};
#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

static const struct call_row *row_of(int nr)
{
	for (size_t i = 0; i < ROW_COUNT; i++)
		if (rows[i].nr == nr)
			return &rows[i];
	return NULL;
}

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
	for (size_t i = 0; i < ROW_COUNT && r == 0; i++)
		r = seccomp_rule_add(filter, SCMP_ACT_TRACE(0), rows[i].nr, 0);
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

/* What a task's descriptor is. */
struct socket_facts {
	bool tcp;
	bool listening;
	struct tcp_addr local, peer; /* family 0 where there is none */
	uint64_t cookie;             /* SO_COOKIE */
};

/* Looks at a copy of the task's descriptor, and closes the copy. */
static struct socket_facts look(const struct trace_task *task, int fd)
{
	struct socket_facts facts = { 0 };
	struct sockaddr_storage ss;
	socklen_t len = sizeof(int);
	int protocol = 0, accepts = 0;
	_fd_ int copy = -1;

	if (task->pidfd < 0 || fd < 0)
		return facts;
	copy = (int)syscall(SYS_pidfd_getfd, task->pidfd, fd, 0);
	if (copy < 0)
		return facts;
	if (getsockopt(copy, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) < 0 ||
	    (protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP))
		return facts;
	facts.tcp = true;
	len = sizeof(int);
	facts.listening = getsockopt(copy, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &len) == 0 &&
			  accepts;
	len = sizeof(facts.cookie);
	getsockopt(copy, SOL_SOCKET, SO_COOKIE, &facts.cookie, &len);
	len = sizeof(ss);
	if (getsockname(copy, (struct sockaddr *)&ss, &len) == 0)
		tcp_addr_from_sockaddr(&facts.local, &ss, len);
	len = sizeof(ss);
	if (getpeername(copy, (struct sockaddr *)&ss, &len) == 0)
		tcp_addr_from_sockaddr(&facts.peer, &ss, len);
	return facts;
}

/* Which connection a socket is, and which end of it the task holds. On loopback both ends are on
 * one host: the task's side is the host it was put on. */
static uint16_t conn_of(struct trace *t, const struct trace_task *task,
			const struct socket_facts *f)
{
	uint16_t conn;

	/* A socket that was reset has lost its peer's name, but not its cookie. */
	if (!f->local.family || !f->peer.family)
		return record_find_cookie(t->rec, task->side, f->cookie);
	conn = record_find_conn(t->rec, task->side, &f->local, &f->peer);
	if (conn != TL_NO_CONN)
		t->rec->cookie[conn][task->side] = f->cookie;
	return conn;
}

/* On loopback no packet tells of a connection: the client's connect() does. */
static uint16_t conn_of_connect(struct trace *t, const struct trace_task *task,
				const struct socket_facts *f)
{
	uint16_t conn = conn_of(t, task, f);

	if (conn == TL_NO_CONN && t->rec->net->loopback && task->side == TL_CLIENT &&
	    f->peer.family)
		conn = record_add_conn(t->rec, &f->local, &f->peer);
	return conn;
}

static struct tl_event *add_call(struct trace *t, const struct trace_task *task,
				 const struct call_row *row, uint16_t conn, int fd)
{
	struct tl_event *v = record_event(t->rec, TL_CALL, task->side, conn);

	if (!v)
		return NULL;
	v->call = (struct tl_call){ .pid = task->tgid, .fd = fd };
	snprintf(v->call.name, sizeof(v->call.name), "%s", row->name);
	memcpy(v->call.comm, task->comm, sizeof(v->call.comm));
	return v;
}

static void describe(struct tl_call *c, const struct call_row *row, const struct trace_call *call,
		     int64_t result)
{
	static const char *const how[] = { "SHUT_RD", "SHUT_WR", "SHUT_RDWR" };

	c->returned = true;
	if (row->nr == SYS_connect &&
	    result == -EINPROGRESS) { /* a non-blocking socket's way to begin */
		snprintf(c->detail, sizeof(c->detail), "in progress");
		result = 0;
	}
	c->result = result;
	if (result < 0)
		return;
	if (row->kind == CALL_WAIT && row->counts && result == 0)
		snprintf(c->detail, sizeof(c->detail), "end of stream");
	else if (row->counts)
		snprintf(c->detail, sizeof(c->detail), "%lld byte%s", (long long)result,
			 result == 1 ? "" : "s");
	else if (row->nr == SYS_shutdown && call->args[1] < 3)
		snprintf(c->detail, sizeof(c->detail), "%s", how[call->args[1]]);
}

/* The kernel's own restart codes (include/linux/errno.h): the call goes on after a signal. */
static bool is_restart(int64_t result)
{
	return result <= -512 && result >= -530;
}

/* Whether a call found nothing to do, so that it is of no interest. */
static bool found_nothing(int64_t result)
{
	return result == -EAGAIN || result == -EINTR || is_restart(result);
}

/* The options that decide how a connection ends; all others are of no interest here. */
static const struct {
	int level, option;
	const char *name;
} telling_options[] = {
	{ SOL_SOCKET, SO_LINGER, "SO_LINGER" },
	{ SOL_SOCKET, SO_KEEPALIVE, "SO_KEEPALIVE" },
	{ SOL_SOCKET, SO_RCVBUF, "SO_RCVBUF" },
	{ SOL_SOCKET, SO_SNDBUF, "SO_SNDBUF" },
	{ IPPROTO_TCP, TCP_KEEPIDLE, "TCP_KEEPIDLE" },
	{ IPPROTO_TCP, TCP_KEEPINTVL, "TCP_KEEPINTVL" },
	{ IPPROTO_TCP, TCP_KEEPCNT, "TCP_KEEPCNT" },
	{ IPPROTO_TCP, TCP_USER_TIMEOUT, "TCP_USER_TIMEOUT" },
	{ IPPROTO_TCP, TCP_LINGER2, "TCP_LINGER2" },
};

/* "SO_LINGER 0" from setsockopt's arguments. Returns false where the option is none of the above.
 */
static bool describe_option(pid_t tid, const uint64_t args[6], char *buf, size_t cap)
{
	int value[2] = { 0 };
	struct iovec mine = { value, sizeof(value) }, theirs = { (void *)(uintptr_t)args[3], 8 };

	for (size_t i = 0; i < sizeof(telling_options) / sizeof(telling_options[0]); i++) {
		if ((int)args[1] != telling_options[i].level ||
		    (int)args[2] != telling_options[i].option)
			continue;
		if (args[4] < theirs.iov_len)
			theirs.iov_len = args[4];
		if (process_vm_readv(tid, &mine, 1, &theirs, 1, 0) < (ssize_t)sizeof(int))
			snprintf(buf, cap, "%s", telling_options[i].name);
		else if (telling_options[i].option == SO_LINGER && args[1] == SOL_SOCKET)
			snprintf(buf, cap, "%s %s %d", telling_options[i].name,
				 value[0] ? "on" : "off", value[1]);
		else
			snprintf(buf, cap, "%s %d", telling_options[i].name, value[0]);
		return true;
	}
	return false;
}

/* After a signal the kernel enters an interrupted call again (SA_RESTART, or no handler): it goes
 * on where it was recorded. Where another is entered, it came to EINTR. Returns true in the first
 * case.
 */
static bool go_on(struct trace *t, struct trace_call *call,
		  const struct __ptrace_syscall_info *info)
{
	if (!call->interrupted)
		return false;
	call->interrupted = false;
	if (call->nr == (int)info->seccomp.nr && call->args[0] == info->seccomp.args[0]) {
		call->active = true;
		return true;
	}
	if (call->event != UINT32_MAX)
		describe(&t->rec->run->events[call->event].call, row_of(call->nr), call, -EINTR);
	return false;
}

static void enter_call(struct trace *t, struct trace_task *task,
		       const struct __ptrace_syscall_info *info)
{
	const struct call_row *row = row_of((int)info->seccomp.nr);
	struct trace_call *call = &task->call;
	int fd = (int)info->seccomp.args[0];
	struct socket_facts facts;
	struct tl_event *v;
	char option[48] = "";

	if (go_on(t, call, info))
		return;
	*call = (struct trace_call){ .nr = (int)info->seccomp.nr,
				     .event = UINT32_MAX,
				     .conn = TL_NO_CONN };
	if (!row)
		return;
	facts = look(task, fd);
	if (!facts.tcp)
		return;
	task->touched = true;
	memcpy(call->args, info->seccomp.args, sizeof(call->args));
	call->active = true;
	call->conn = conn_of(t, task, &facts);
	if (row->kind != CALL_ACT || (row->nr != SYS_connect && call->conn == TL_NO_CONN)) {
		/* closing a listener, or a socket that was never connected, is no event of a
		 * connection */
		call->active = row->kind != CALL_ACT;
		return;
	}
	if (row->nr == SYS_setsockopt &&
	    !describe_option(task->tid, call->args, option, sizeof(option))) {
		call->active = false;
		return;
	}
	v = add_call(t, task, row, call->conn, fd);
	if (v)
		snprintf(v->call.detail, sizeof(v->call.detail), "%s", option);
	if (v && row->nr == SYS_shutdown)
		describe(&v->call, row, call, 0);
	if (v)
		v->call.returned = false;
	call->event = v ? (uint32_t)(v - t->rec->run->events) : UINT32_MAX;
	call->acts = true;
}

/* Records what a call that acts came to, in its place. The states that it led to stand there too
 * where nothing else has happened since. */
static void finish_act(struct trace *t, struct trace_task *task, const struct call_row *row,
		       int64_t result, struct err *e)
{
	struct trace_call *call = &task->call;
	struct tl_run *run = t->rec->run;
	struct tl_event *v = call->event == UINT32_MAX ? NULL : &run->events[call->event];
	struct tl_state now[2];

	if (row->nr == SYS_connect) {
		struct socket_facts facts = look(task, (int)call->args[0]);

		call->conn = conn_of_connect(t, task, &facts);
		if (call->conn == TL_NO_CONN && v)
			call->conn = record_connect_conn(t->rec, call->event, task->side,
							 &facts.local);
		if (v && call->conn != TL_NO_CONN)
			v->conn = call->conn;
	}
	if (v)
		describe(&v->call, row, call, result);
	if (call->conn == TL_NO_CONN || record_ask(t->rec, call->conn, now, e) < 0)
		return;
	if (v && call->event + 1 == run->nevents)
		record_after(t->rec, v, call->conn, now);
	else
		record_changes(t->rec, call->conn, e);
}

static void finish_wait(struct trace *t, struct trace_task *task, const struct call_row *row,
			int64_t result, struct err *e)
{
	struct trace_call *call = &task->call;
	int fd = (int)call->args[0];
	struct tl_event *v;
	struct tl_state now[2];

	if (row->name[0] == 'a' && result >= 0) {
		struct socket_facts facts = look(task, (int)result);

		call->conn = conn_of(t, task, &facts);
		fd = (int)result;
	}
	v = add_call(t, task, row, call->conn, fd);
	if (v)
		describe(&v->call, row, call, result);
	if (call->conn == TL_NO_CONN)
		return;
	if (row->counts && result == 0)
		t->rec->told[call->conn][task->side] = true;
	if (record_ask(t->rec, call->conn, now, e) == 0)
		record_after(t->rec, v, call->conn, now);
}

static void leave_call(struct trace *t, struct trace_task *task,
		       const struct __ptrace_syscall_info *info, struct err *e)
{
	const struct call_row *row = row_of(task->call.nr);
	int64_t result = info->exit.rval;

	if (!task->call.active || !row)
		return;
	if (row->kind == CALL_LISTEN) {
		struct socket_facts facts = look(task, (int)task->call.args[0]);

		if (result == 0 && t->hooks.listens)
			t->hooks.listens(t->hooks.arg, task->actor, facts.local.port);
	} else if (task->call.acts && is_restart(result)) {
		task->call.interrupted = true;
	} else if (task->call.acts) {
		finish_act(t, task, row, result, e);
	} else if (!found_nothing(result)) {
		finish_wait(t, task, row, result, e);
	}
	task->call.active = false;
}

/* The end of a process, before the kernel closes what it held. It belongs to no one connection;
 * the newest stands for them, so that its states are shown. */
static void record_exit(struct trace *t, struct trace_task *task)
{
	struct tl_run *run = t->rec->run;
	unsigned long message = 0;
	struct tl_event *v;
	int status;

	if (!task->touched || task->tid != task->tgid)
		return;
	ptrace(PTRACE_GETEVENTMSG, task->tid, 0, &message);
	status = (int)message;
	v = record_event(t->rec, TL_CALL, task->side,
			 run->nconns ? (uint16_t)(run->nconns - 1) : TL_NO_CONN);
	if (!v)
		return;
	v->call = (struct tl_call){ .pid = task->tgid, .fd = -1, .returned = true };
	memcpy(v->call.comm, task->comm, sizeof(v->call.comm));
	if (WIFSIGNALED(status)) {
		snprintf(v->call.name, sizeof(v->call.name), "killed");
		snprintf(v->call.detail, sizeof(v->call.detail), "SIG%s",
			 sigabbrev_np(WTERMSIG(status)) ?: "?");
		v->call.result = WTERMSIG(status);
	} else {
		snprintf(v->call.name, sizeof(v->call.name), "exit");
		snprintf(v->call.detail, sizeof(v->call.detail), "%d", WEXITSTATUS(status));
		v->call.result = WEXITSTATUS(status);
	}
}

/* Reads one number from /proc/TID/status; -1 where it cannot be had. */
static int status_field(pid_t tid, const char *field)
{
	char path[40], text[2048], *at;
	_fd_ int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = fd_read_all(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return -1;
	text[n] = '\0';
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
			enter_call(t, task, &info);
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
		if (task && t->proc)
			after_exec(task);
		if (task && t->hooks.executed)
			t->hooks.executed(t->hooks.arg, task->actor);
		break;
	case PTRACE_EVENT_EXIT:
		if (task) {
			task->call.active = false;
			record_exit(t, task);
		}
		break;
	case PTRACE_EVENT_STOP:
		if (!task && hold_early(t, tid))
			return;
		if (sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU) {
			ptrace(PTRACE_LISTEN, tid, 0, 0);
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

bool trace_handle(struct trace *t, pid_t tid, int status, struct err *e)
{
	struct trace_task *task = find(t, tid);
	struct __ptrace_syscall_info info;

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
			leave_call(t, task, &info, e);
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
