/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * What is recorded where a call begins stands before any packet that the call causes. Calls that
 * act (connect, write, shutdown, close) are recorded there and get their result when they return;
 * calls that wait (accept, read) are recorded when they return.
 *
 * Which socket a descriptor is, is asked of a copy (pidfd_getfd), which is closed before the
 * process goes on, so that it never keeps a connection open. Calls that are not on a TCP socket, or
 * that found nothing to do (EAGAIN), leave no trace. Not seen: io_uring, splice, close_range, and
 * descriptors that dup2() replaces; the packets and states that they cause are.
 */
#include "lab/trace_call.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
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

int call_number(size_t i)
{
	return i < ROW_COUNT ? rows[i].nr : -1;
}

static const struct call_row *row_of(int nr)
{
	for (size_t i = 0; i < ROW_COUNT; i++)
		if (rows[i].nr == nr)
			return &rows[i];
	return NULL;
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

/* Whether a connect(2) is to AF_UNSPEC, which ends the connection that there is. */
static bool is_disconnect(pid_t tid, const struct trace_call *call)
{
	sa_family_t family = AF_INET;
	struct iovec here = { &family, sizeof(family) },
		     there = { (void *)(uintptr_t)call->args[1], sizeof(family) };

	return call->nr == SYS_connect && call->args[2] >= sizeof(family) &&
	       process_vm_readv(tid, &here, 1, &there, 1, 0) == (ssize_t)sizeof(family) &&
	       family == AF_UNSPEC;
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

/* Whether a call that reads asked for no byte at all: its 0 is no end of the stream. */
static bool wants_nothing(pid_t tid, const struct trace_call *call)
{
	struct iovec parts[16] = { { 0 } }, mine = { parts, sizeof(parts) }, theirs = { 0 };
	uint64_t at = call->args[1], count = call->args[2], bytes = 0;

	if (call->nr == SYS_read || call->nr == SYS_recvfrom)
		return count == 0;
	if (call->nr == SYS_recvmsg) {
		struct msghdr msg;
		struct iovec here = { &msg, sizeof(msg) },
			     there = { (void *)(uintptr_t)at, sizeof(msg) };

		if (process_vm_readv(tid, &here, 1, &there, 1, 0) != (ssize_t)sizeof(msg))
			return false;
		at = (uintptr_t)msg.msg_iov;
		count = msg.msg_iovlen;
	}
	if (count == 0 || count > 16)
		return count == 0;
	theirs = (struct iovec){ (void *)(uintptr_t)at, count * sizeof(parts[0]) };
	if (process_vm_readv(tid, &mine, 1, &theirs, 1, 0) != (ssize_t)theirs.iov_len)
		return false;
	for (uint64_t i = 0; i < count; i++)
		bytes |= parts[i].iov_len;
	return bytes == 0;
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
	if (call->ends)
		snprintf(c->detail, sizeof(c->detail), "end of stream");
	else if (row->counts)
		snprintf(c->detail, sizeof(c->detail), "%lld byte%s", (long long)result,
			 result == 1 ? "" : "s");
	else if (call->disconnects)
		snprintf(c->detail, sizeof(c->detail), "AF_UNSPEC");
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

void call_enter(struct trace *t, struct trace_task *task, const struct __ptrace_syscall_info *info)
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
	call->disconnects = is_disconnect(task->tid, call);
	if (row->kind != CALL_ACT ||
	    ((row->nr != SYS_connect || call->disconnects) && call->conn == TL_NO_CONN)) {
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

	if (row->nr == SYS_connect && !call->disconnects) {
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
	call->ends = row->counts && result == 0 && !wants_nothing(task->tid, call);
	v = add_call(t, task, row, call->conn, fd);
	if (v)
		describe(&v->call, row, call, result);
	if (call->conn == TL_NO_CONN)
		return;
	if (call->ends)
		t->rec->told[call->conn][task->side] = true;
	if (record_ask(t->rec, call->conn, now, e) == 0)
		record_after(t->rec, v, call->conn, now);
}

void call_leave(struct trace *t, struct trace_task *task, const struct __ptrace_syscall_info *info,
		struct err *e)
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
void call_exit(struct trace *t, const struct trace_task *task)
{
	struct tl_run *run = t->rec->run;
	unsigned long message = 0;
	struct tl_event *v;
	int status;

	if (!task->touched)
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
