/* SPDX-License-Identifier: MIT */
/* Calls that the script has a process make. */
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "lab/json_bytes.h"
#include "lab/lab.h"
#include "lab/puppet.h"

/* Sends a command, with a descriptor along where `along` is one. Returns 0 or -errno. */
static int send_command(struct actor *actor, const struct puppet_command *c, int along)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = { 0 };
	struct iovec iov = { (void *)c, offsetof(struct puppet_command, data) + c->len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (along >= 0) {
		struct cmsghdr *cm;

		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		cm = CMSG_FIRSTHDR(&msg);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cm), &along, sizeof(int));
	}
	if (sendmsg(actor->command, &msg, MSG_NOSIGNAL) < 0)
		return -errno;
	actor->busy = true;
	return 0;
}

/* The actor of a request, ready for a command. */
static struct actor *idle_puppet(struct lab *lab, struct pending *p, struct answer *a)
{
	struct actor *actor = arg_actor(lab, p, a);

	if (!actor)
		return NULL;
	if (actor->command < 0 || actor->kind != ACTOR_PUPPET || actor->exited) {
		op_error(a, "%s makes no calls for a scenario%s", actor->name,
			 actor->exited ? ": it has ended" : "");
		return NULL;
	}
	if (actor->busy) {
		op_error(a, "%s[%d] is still in the call that was begun before", actor->name,
			 actor->pid);
		return NULL;
	}
	return actor;
}

static enum op_result issue(struct lab *lab, struct pending *p, struct actor *actor,
			    const struct puppet_command *c, int along)
{
	int r = send_command(actor, c, along);

	if (r < 0)
		return op_broken(lab, p, "telling %s[%d] what to do: %s", actor->name, actor->pid,
				 strerror(-r));
	return OP_WAIT;
}

static const char *errno_text(int64_t result, char buf[32])
{
	const char *name = strerrorname_np((int)-result);

	snprintf(buf, 32, "%s", name ? name : "an unknown error");
	return buf;
}

/* What a call returned, held against what the script said of it (`fails`, `ends`). */
static enum op_result judge(struct lab *lab, struct pending *p, const struct actor *actor,
			    const struct puppet_answer *got, const char *call, struct answer *a)
{
	char name[32], fails[32], wanted[96], seen[96];

	if (arg_given(p, "fails")) {
		arg_text(p, "fails", fails, sizeof(fails));
		snprintf(wanted, sizeof(wanted), "%s's %s fails with %s", actor->name, call, fails);
		if (got->result < 0)
			snprintf(seen, sizeof(seen), "it failed with %s",
				 errno_text(got->result, name));
		else
			snprintf(seen, sizeof(seen), "it returned %lld", (long long)got->result);
		return lab_expect(lab, p, TL_NOBODY,
				  got->result < 0 && !strcmp(errno_text(got->result, name), fails),
				  wanted, seen);
	}
	if (got->result < 0)
		return op_broken(lab, p,
				 "%s's %s failed with %s; say fails = \"%s\" where that is meant",
				 actor->name, call, errno_text(got->result, name), name);
	if (arg_given(p, "ends")) {
		snprintf(wanted, sizeof(wanted), "%s reads the end of the stream", actor->name);
		snprintf(seen, sizeof(seen), "read returned %lld", (long long)got->result);
		return lab_expect(lab, p, TL_NOBODY, got->result == 0, wanted, seen);
	}
	if (got->len > 0 || !strcmp(call, "read"))
		return op_ok(a, json_from_bytes(got->data, got->len));
	return op_ok(a, json_integer(got->result));
}

static enum op_result ended_early(struct lab *lab, struct pending *p, const struct actor *actor,
				  const char *call)
{
	char how[96] = "no word of how";

	if (actor_failure(actor))
		snprintf(how, sizeof(how), "it could not be set up: %s", actor_failure(actor));
	else if (actor->exited && WIFSIGNALED(actor->status))
		snprintf(how, sizeof(how), "killed by SIG%s",
			 sigabbrev_np(WTERMSIG(actor->status)) ?: "?");
	else if (actor->exited)
		snprintf(how, sizeof(how), "status %d", WEXITSTATUS(actor->status));
	return op_broken(lab, p, "%s[%d] has ended in the midst of %s: %s", actor->name, actor->pid,
			 call, how);
}

/* Takes the answer to the command under way. */
static enum op_result poll_call(struct lab *lab, struct pending *p, struct answer *a)
{
	static struct puppet_answer got;
	struct actor *actor = &lab->actors[p->actor];
	char call[32];
	ssize_t n;

	n = recv(actor->command, &got, sizeof(got), MSG_DONTWAIT);
	arg_text(p, "name", call, sizeof(call));
	if (n < 0 && (errno == EAGAIN || errno == EINTR) && !actor->exited)
		return OP_WAIT;
	if (n < (ssize_t)offsetof(struct puppet_answer, data) ||
	    (size_t)n != offsetof(struct puppet_answer, data) + got.len)
		return ended_early(lab, p, actor, call[0] ? call : "a call");
	actor->busy = false;
	return judge(lab, p, actor, &got, call[0] ? call : "call", a);
}

/* A call that is only begun is under way once its process sleeps in it, or over already; what the
 * script does next comes after that. Its answer stays where it is, for `finish`. */
static enum op_result poll_begun(struct lab *lab, struct pending *p)
{
	const struct actor *actor = &lab->actors[p->actor];
	struct pollfd answer = { .fd = actor->command, .events = POLLIN };
	int64_t now = clock_mono_ns();

	if (!p->since_ns)
		p->since_ns = now;
	return poll(&answer, 1, 0) > 0 || lab_is_asleep(lab, p->actor) ||
			       now - p->since_ns > LAB_SETTLE_NS
		       ? OP_OK
		       : OP_WAIT;
}

static enum op_result poll_call_or_begin(struct lab *lab, struct pending *p, struct answer *a)
{
	return arg_true(p, "begin") ? poll_begun(lab, p) : poll_call(lab, p, a);
}

static enum op_result late_call(struct lab *lab, struct pending *p, struct answer *a)
{
	const struct actor *actor = &lab->actors[p->actor];
	char call[32];

	return op_broken(lab, p, "%s[%d]: %s does not return in time", actor->name, actor->pid,
			 arg_text(p, "name", call, sizeof(call)));
}

static const struct {
	const char *name;
	int level, option;
	enum {
		VALUE_INT,
		VALUE_MS,
		VALUE_LINGER
	} kind;
} options[] = {
	{ "SO_LINGER", SOL_SOCKET, SO_LINGER, VALUE_LINGER },
	{ "SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE, VALUE_INT },
	{ "SO_REUSEADDR", SOL_SOCKET, SO_REUSEADDR, VALUE_INT },
	{ "SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, VALUE_INT },
	{ "SO_SNDBUF", SOL_SOCKET, SO_SNDBUF, VALUE_INT },
	{ "TCP_KEEPIDLE", IPPROTO_TCP, TCP_KEEPIDLE, VALUE_INT },
	{ "TCP_KEEPINTVL", IPPROTO_TCP, TCP_KEEPINTVL, VALUE_INT },
	{ "TCP_KEEPCNT", IPPROTO_TCP, TCP_KEEPCNT, VALUE_INT },
	{ "TCP_USER_TIMEOUT", IPPROTO_TCP, TCP_USER_TIMEOUT, VALUE_INT },
	{ "TCP_LINGER2", IPPROTO_TCP, TCP_LINGER2, VALUE_INT },
	{ "TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY, VALUE_INT },
	{ "TCP_CORK", IPPROTO_TCP, TCP_CORK, VALUE_INT },
	{ "TCP_DEFER_ACCEPT", IPPROTO_TCP, TCP_DEFER_ACCEPT, VALUE_INT },
};

static bool fill_option(struct puppet_command *c, const json_t *args, struct answer *a)
{
	const char *name = json_string_value(json_object_get(args, "option"));
	int value = (int)json_integer_value(json_object_get(args, "value"));
	struct linger linger = { .l_onoff = 1, .l_linger = value };

	for (size_t i = 0; name && i < sizeof(options) / sizeof(options[0]); i++) {
		if (strcmp(options[i].name, name) != 0)
			continue;
		c->op = PUPPET_SETOPT;
		c->arg[0] = options[i].level;
		c->arg[1] = options[i].option;
		if (options[i].kind == VALUE_LINGER) {
			c->len = sizeof(linger);
			memcpy(c->data, &linger, sizeof(linger));
		} else {
			c->len = sizeof(value);
			memcpy(c->data, &value, sizeof(value));
		}
		return true;
	}
	op_error(a, "no socket option '%s' is known to the lab", name ? name : "?");
	return false;
}

static bool fill_write(struct puppet_command *c, const json_t *args, struct answer *a)
{
	const json_t *count = json_object_get(args, "count");
	size_t len = 0;
	char *bytes = json_to_bytes(json_object_get(args, "data"), &len);

	c->op = PUPPET_WRITE;
	c->arg[0] = json_integer_value(count);
	if (!count == (len == 0)) {
		free(bytes);
		op_error(a, "write takes a text of at least one byte, or a number of bytes");
		return false;
	}
	if (len > sizeof(c->data)) {
		free(bytes);
		op_error(a, "write takes at most %zu bytes of text; more as a number of bytes",
			 sizeof(c->data));
		return false;
	}
	if (bytes)
		memcpy(c->data, bytes, len);
	c->len = (uint32_t)len;
	free(bytes);
	return true;
}

static bool fill_shutdown(struct puppet_command *c, const json_t *args, struct answer *a)
{
	static const char *const names[] = { "read", "write", "both" };
	const char *how = json_string_value(json_object_get(args, "how"));

	c->op = PUPPET_SHUTDOWN;
	for (int i = 0; i < 3; i++) {
		if (!how || strcmp(names[i], how) != 0)
			continue;
		c->arg[0] = i;
		return true;
	}
	op_error(a, "shutdown takes \"read\", \"write\" or \"both\"");
	return false;
}

static bool fill_connect(struct lab *lab, struct puppet_command *c, const json_t *args)
{
	json_int_t host = json_integer_value(json_object_get(args, "host"));

	c->op = PUPPET_CONNECT;
	c->addr = lab->net.addr[host ? TL_SERVER : TL_CLIENT][lab->options->ipv6];
	c->addr.port = (uint16_t)json_integer_value(json_object_get(args, "port"));
	return true;
}

static bool fill_bind(struct lab *lab, struct pending *p, struct puppet_command *c,
		      const json_t *args)
{
	c->op = PUPPET_BIND;
	c->addr = lab->net.addr[lab->actors[p->actor].side][lab->options->ipv6];
	c->addr.port = (uint16_t)json_integer_value(json_object_get(args, "port"));
	return true;
}

static bool fill_listen(struct lab *lab, struct pending *p, struct puppet_command *c,
			const json_t *args)
{
	c->op = PUPPET_LISTEN;
	c->addr = lab->net.addr[lab->actors[p->actor].side][lab->options->ipv6];
	c->addr.port = (uint16_t)json_integer_value(json_object_get(args, "port"));
	c->arg[0] = json_integer_value(json_object_get(args, "backlog"));
	if (json_is_true(json_object_get(args, "reuse")))
		c->arg[1] |= PUPPET_REUSE_ADDR;
	if (json_is_true(json_object_get(args, "reuseport")))
		c->arg[1] |= PUPPET_REUSE_PORT;
	return true;
}

static bool fill(struct lab *lab, struct pending *p, struct puppet_command *c, struct answer *a)
{
	const json_t *args = json_object_get(p->args, "args");
	char name[16];

	arg_text(p, "name", name, sizeof(name));
	c->fd = (int32_t)arg_int(p, "fd", -1);
	if (!strcmp(name, "listen"))
		return fill_listen(lab, p, c, args);
	if (!strcmp(name, "connect"))
		return fill_connect(lab, c, args);
	if (!strcmp(name, "write"))
		return fill_write(c, args, a);
	if (!strcmp(name, "shutdown"))
		return fill_shutdown(c, args, a);
	if (!strcmp(name, "set"))
		return fill_option(c, args, a);
	if (!strcmp(name, "bind"))
		return fill_bind(lab, p, c, args);
	if (!strcmp(name, "socket")) {
		c->op = PUPPET_SOCKET;
		c->arg[0] = lab->options->ipv6 ? AF_INET6 : AF_INET;
	} else if (!strcmp(name, "read")) {
		c->op = PUPPET_READ;
		c->arg[0] = json_integer_value(json_object_get(args, "count"));
	} else if (!strcmp(name, "accept")) {
		c->op = PUPPET_ACCEPT;
	} else if (!strcmp(name, "disconnect")) {
		c->op = PUPPET_DISCONNECT;
	} else if (!strcmp(name, "close")) {
		c->op = PUPPET_CLOSE;
	} else if (!strcmp(name, "dup")) {
		c->op = PUPPET_DUP;
	} else if (!strcmp(name, "nonblock")) {
		c->op = PUPPET_NONBLOCK;
		c->arg[0] = 1;
	} else if (!strcmp(name, "limit")) {
		c->op = PUPPET_LIMIT;
		c->arg[0] = json_integer_value(json_object_get(args, "count"));
	} else {
		op_error(a, "no call '%s'", name);
		return false;
	}
	return true;
}

static enum op_result begin_call(struct lab *lab, struct pending *p, struct answer *a)
{
	static struct puppet_command c;
	struct actor *actor = idle_puppet(lab, p, a);

	memset(&c, 0, offsetof(struct puppet_command, data));
	if (!actor || !fill(lab, p, &c, a))
		return OP_ERROR;
	return issue(lab, p, actor, &c, -1);
}

static enum op_result begin_finish(struct lab *lab, struct pending *p, struct answer *a)
{
	struct actor *actor = arg_actor(lab, p, a);

	if (!actor)
		return OP_ERROR;
	if (!actor->busy)
		return op_error(a, "%s has no call under way", actor->name);
	return poll_call(lab, p, a);
}

/* fork: the child gets a command socket of its own; it is an actor when its parent has said its
 * pid. */
static enum op_result begin_fork(struct lab *lab, struct pending *p, struct answer *a)
{
	struct puppet_command c = { .op = PUPPET_FORK };
	struct actor *parent = idle_puppet(lab, p, a),
		     *child = parent ? lab_new_actor(lab, a) : NULL;
	char name[16];
	int pair[2];
	enum op_result r;

	if (!child)
		return OP_ERROR;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return op_broken(lab, p, "making a command socket: %s", strerror(errno));
	arg_text(p, "name", name, sizeof(name));
	c.len = (uint32_t)strlen(name);
	memcpy(c.data, name, c.len);
	r = issue(lab, p, parent, &c, pair[1]);
	close(pair[1]);
	p->states = (uint32_t)lab->nactors; /* the child's number */
	actor_adopt(child, parent, 0, pair[0], name);
	lab->nactors++;
	return r;
}

static enum op_result poll_fork(struct lab *lab, struct pending *p, struct answer *a)
{
	struct actor *child = &lab->actors[p->states];
	enum op_result r = poll_call(lab, p, a);

	if (r != OP_OK)
		return r;
	child->pid = (pid_t)json_integer_value(a->value);
	json_decref(a->value);
	a->value = NULL;
	if (!trace_adopted(&lab->trace, child->pid, (int)p->states, child->name)) {
		child->pid = -1; /* whoever that is, it is not ours to signal */
		return op_broken(lab, p, "the child of %s is not one that it made",
				 lab->actors[p->actor].name);
	}
	return op_ok(a, json_integer(p->states));
}

/* post: the giver sends the descriptor into a Unix socket pair; until somebody takes it out, no
 * process has it. */
static enum op_result begin_post(struct lab *lab, struct pending *p, struct answer *a)
{
	struct puppet_command give = { .op = PUPPET_SEND_FD, .fd = (int32_t)arg_int(p, "fd", -1) };
	struct actor *giver = idle_puppet(lab, p, a);
	enum op_result r;
	int pair[2];

	if (!giver)
		return OP_ERROR;
	if (lab->posted >= 0)
		return op_error(a, "a socket is on its way already: take it first");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return op_broken(lab, p, "making a Unix socket: %s", strerror(errno));
	r = issue(lab, p, giver, &give, pair[0]);
	close(pair[0]);
	lab->posted = pair[1];
	return r;
}

static enum op_result begin_take(struct lab *lab, struct pending *p, struct answer *a)
{
	struct puppet_command take = { .op = PUPPET_TAKE_FD };
	struct actor *taker = idle_puppet(lab, p, a);
	enum op_result r;

	if (!taker)
		return OP_ERROR;
	if (lab->posted < 0)
		return op_error(a, "no socket is on its way");
	r = issue(lab, p, taker, &take, lab->posted);
	lab->posted = fd_close(lab->posted);
	return r;
}

static enum op_result begin_exec(struct lab *lab, struct pending *p, struct answer *a)
{
	struct puppet_command c = { .op = PUPPET_EXEC, .arg = { arg_true(p, "keep") } };
	struct actor *actor = idle_puppet(lab, p, a);
	char path[256];

	if (!actor)
		return OP_ERROR;
	/* Only what holds descriptors and does nothing else; the path is looked up here, not there.
	 */
	if (strcmp(arg_text(p, "path", path, sizeof(path)), "cat") != 0)
		return op_error(
			a, "exec takes \"cat\", which holds what it inherits until it is killed");
	snprintf(c.data, sizeof(c.data), "/bin/cat");
	c.len = (uint32_t)strlen(c.data);
	actor->executed = false;
	return issue(lab, p, actor, &c, -1);
}

/* A process that was replaced answers no more: the exec is done when the trace has seen it. */
static enum op_result poll_exec(struct lab *lab, struct pending *p, struct answer *a)
{
	struct actor *actor = &lab->actors[p->actor];

	if (!actor->executed)
		return poll_call(lab, p, a); /* an answer is an error */
	actor->busy = false;
	actor->kind = ACTOR_PROGRAM;
	return OP_OK;
}

static enum op_result begin_exit(struct lab *lab, struct pending *p, struct answer *a)
{
	struct puppet_command c = { .op = PUPPET_EXIT, .arg = { arg_int(p, "status", 0) } };
	struct actor *actor = idle_puppet(lab, p, a);

	if (!actor)
		return OP_ERROR;
	return issue(lab, p, actor, &c, -1);
}

static enum op_result poll_exit(struct lab *lab, struct pending *p, struct answer *a)
{
	return lab->actors[p->actor].exited ? OP_OK : OP_WAIT;
}

const struct op ops_puppet[] = {
	{ "call", begin_call, poll_call_or_begin, late_call },
	{ "finish", begin_finish, poll_call, late_call },
	{ "fork", begin_fork, poll_fork, late_call },
	{ "post", begin_post, poll_call, late_call },
	{ "take", begin_take, poll_call, late_call },
	{ "exec", begin_exec, poll_exec, late_call },
	{ "exit", begin_exit, poll_exit, late_call },
	{ NULL, NULL, NULL, NULL },
};
