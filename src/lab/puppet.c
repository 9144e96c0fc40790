/* SPDX-License-Identifier: MIT */
#include "lab/puppet.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

/* One read or write at most: more than any socket buffer of the lab holds. */
#define PUPPET_IO_BYTES (1 << 20)

static char filling[PUPPET_IO_BYTES];

/* The result in a child that fork has just made: its parent answers. */
#define NO_ANSWER INT64_MIN

static int64_t or_errno(int64_t r)
{
	return r < 0 ? -errno : r;
}

static int64_t do_listen(const struct puppet_command *c)
{
	struct sockaddr_storage ss;
	size_t len = tcp_addr_to_sockaddr(&c->addr, &ss, sizeof(ss));
	int fd = socket(c->addr.family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, r;

	if (fd < 0)
		return -errno;
	if (c->arg[1] & PUPPET_REUSE_ADDR)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (c->arg[1] & PUPPET_REUSE_PORT)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	r = bind(fd, (struct sockaddr *)&ss, (socklen_t)len);
	if (r == 0)
		r = listen(fd, (int)c->arg[0]);
	if (r < 0) {
		fd_close(fd);
		return -errno;
	}
	return fd;
}

static int64_t do_address(const struct puppet_command *c)
{
	struct sockaddr_storage ss;
	socklen_t len = (socklen_t)tcp_addr_to_sockaddr(&c->addr, &ss, sizeof(ss));

	if (c->op == PUPPET_BIND)
		return or_errno(bind(c->fd, (struct sockaddr *)&ss, len));
	return or_errno(connect(c->fd, (struct sockaddr *)&ss, len));
}

static int64_t do_disconnect(int fd)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };

	return or_errno(connect(fd, &nobody, sizeof(nobody)));
}

static int64_t do_write(const struct puppet_command *c)
{
	size_t len = c->arg[0] > 0 && c->arg[0] < PUPPET_IO_BYTES ? (size_t)c->arg[0]
								  : PUPPET_IO_BYTES;

	if (c->len)
		return or_errno(send(c->fd, c->data, c->len, MSG_NOSIGNAL));
	return or_errno(send(c->fd, filling, len, MSG_NOSIGNAL));
}

static int64_t do_read(const struct puppet_command *c, struct puppet_answer *a)
{
	size_t len = c->arg[0] > 0 && c->arg[0] < PUPPET_IO_BYTES ? (size_t)c->arg[0]
								  : PUPPET_IO_BYTES;
	ssize_t n = read(c->fd, filling, len);

	if (n < 0)
		return -errno;
	a->len = (uint32_t)n < sizeof(a->data) ? (uint32_t)n : sizeof(a->data);
	memcpy(a->data, filling, a->len);
	return n;
}

static int64_t do_nonblock(const struct puppet_command *c)
{
	int flags = fcntl(c->fd, F_GETFL);

	if (flags < 0)
		return -errno;
	flags = c->arg[0] ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return or_errno(fcntl(c->fd, F_SETFL, flags));
}

/* Passes a descriptor through a Unix socket (SCM_RIGHTS). */
static int64_t send_fd(int through, int fd)
{
	char byte = 'f', control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *cm = CMSG_FIRSTHDR(&msg);

	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cm), &fd, sizeof(int));
	return or_errno(sendmsg(through, &msg, MSG_NOSIGNAL));
}

/* Receives one message and the descriptor that may ride along (else -1). Returns its length. */
static ssize_t receive(int fd, void *data, size_t cap, int *along)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	struct iovec iov = { data, cap };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *cm;
	ssize_t n;

	do {
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	*along = -1;
	cm = n < 0 ? NULL : CMSG_FIRSTHDR(&msg);
	if (cm && cm->cmsg_level == SOL_SOCKET && cm->cmsg_type == SCM_RIGHTS)
		memcpy(along, CMSG_DATA(cm), sizeof(int));
	return n;
}

static int64_t take_fd(int from)
{
	char byte;
	int fd;
	ssize_t n = receive(from, &byte, 1, &fd);

	if (n < 0)
		return -errno;
	return fd >= 0 ? fd : -ENODATA;
}

/* Everything above the standard descriptors goes on into the new program, but our command socket.
 */
static int64_t do_exec(const struct puppet_command *c, int command)
{
	char path[PUPPET_DATA_BYTES + 1] = { 0 };
	char *argv[] = { path, NULL };

	memcpy(path, c->data, c->len);
	for (int fd = 3; c->arg[0] && fd < 256; fd++)
		if (fd != command && fcntl(fd, F_GETFD) >= 0)
			fcntl(fd, F_SETFD, 0);
	/* The new program's standard input is the command socket: `cat` ends when the run does. */
	if (dup2(command, STDIN_FILENO) < 0)
		return -errno;
	execv(path, argv);
	return -errno;
}

/* The child takes its command socket and its name; the parent gets its pid. */
static int64_t do_fork(const struct puppet_command *c, int *command, int along)
{
	char name[16] = { 0 };
	int child = fork();

	if (child != 0)
		return or_errno(child);
	close(*command);
	*command = fcntl(along, F_DUPFD_CLOEXEC,
			 PUPPET_COMMAND_FD); /* just closed: the lowest free */
	memcpy(name, c->data, c->len < sizeof(name) ? c->len : sizeof(name) - 1);
	prctl(PR_SET_NAME, name);
	return NO_ANSWER;
}

static int64_t do_limit(const struct puppet_command *c)
{
	struct rlimit limit = { (rlim_t)c->arg[0], (rlim_t)c->arg[0] };

	return or_errno(setrlimit(RLIMIT_NOFILE, &limit));
}

/* Whether `fd` counts. A script may name any number; what it wrote into the command socket would be
 * an answer of its own making. */
static bool takes_fd(enum puppet_op op)
{
	switch (op) {
	case PUPPET_LISTEN:
	case PUPPET_SOCKET:
	case PUPPET_LIMIT:
	case PUPPET_FORK:
	case PUPPET_TAKE_FD:
	case PUPPET_EXEC:
	case PUPPET_EXIT:
		return false;
	default:
		return true;
	}
}

static int64_t obey(const struct puppet_command *c, struct puppet_answer *a, int *command,
		    int along)
{
	if (takes_fd((enum puppet_op)c->op) && c->fd <= PUPPET_COMMAND_FD)
		return -EBADF;
	switch ((enum puppet_op)c->op) {
	case PUPPET_LISTEN:
		return do_listen(c);
	case PUPPET_SOCKET:
		return or_errno(socket((int)c->arg[0], SOCK_STREAM | SOCK_CLOEXEC, 0));
	case PUPPET_BIND:
	case PUPPET_CONNECT:
		return do_address(c);
	case PUPPET_DISCONNECT:
		return do_disconnect(c->fd);
	case PUPPET_ACCEPT:
		return or_errno(accept4(c->fd, NULL, NULL, SOCK_CLOEXEC));
	case PUPPET_WRITE:
		return do_write(c);
	case PUPPET_READ:
		return do_read(c, a);
	case PUPPET_SHUTDOWN:
		return or_errno(shutdown(c->fd, (int)c->arg[0]));
	case PUPPET_CLOSE:
		return or_errno(close(c->fd));
	case PUPPET_SETOPT:
		return or_errno(setsockopt(c->fd, (int)c->arg[0], (int)c->arg[1], c->data, c->len));
	case PUPPET_NONBLOCK:
		return do_nonblock(c);
	case PUPPET_DUP:
		return or_errno(fcntl(c->fd, F_DUPFD_CLOEXEC, 3));
	case PUPPET_FORK:
		return do_fork(c, command, along);
	case PUPPET_LIMIT:
		return do_limit(c);
	case PUPPET_SEND_FD:
		return send_fd(along, c->fd);
	case PUPPET_TAKE_FD:
		return take_fd(along);
	case PUPPET_EXEC:
		return do_exec(c, *command);
	case PUPPET_EXIT:
		_exit((int)c->arg[0]);
	case PUPPET_OP_COUNT:
		break;
	}
	return -ENOSYS;
}

void puppet_main(int command)
{
	static struct puppet_command c;
	static struct puppet_answer a;

	signal(SIGPIPE, SIG_IGN);
	memset(filling, 'x', sizeof(filling));
	for (;;) {
		int along;
		ssize_t n = receive(command, &c, sizeof(c), &along);

		if (n < (ssize_t)offsetof(struct puppet_command, data) || c.len > sizeof(c.data))
			_exit(n == 0 ? 0 : 1);
		a.len = 0;
		a.result = obey(&c, &a, &command, along);
		fd_close(along);
		if (a.result != NO_ANSWER)
			send(command, &a, offsetof(struct puppet_answer, data) + a.len,
			     MSG_NOSIGNAL);
	}
}
