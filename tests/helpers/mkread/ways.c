/* SPDX-License-Identifier: MIT */
/* The ways to read, and the calls that return 0 and tell nothing. */
#include "mkread.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

__thread struct span told;
static __thread char space[256];
static volatile int sink; /* keeps a call from being a tail call */

/* A function that is to be found in a stack: `call` between two looks at the clock. */
#define WAY(name, call)                     \
	APART static long by_##name(int fd) \
	{                                   \
		long n;                     \
                                            \
		told.from = wall_ns();      \
		n = call;                   \
		told.to = wall_ns();        \
		return n;                   \
	}

#define IOV (&(struct iovec){ space, sizeof(space) })
#define MSG                                     \
	{                                       \
		.msg_iov = IOV, .msg_iovlen = 1 \
	}

WAY(read, read(fd, space, sizeof(space)))
WAY(recv, recv(fd, space, sizeof(space), 0))
WAY(recv_waitall, recv(fd, space, sizeof(space), MSG_WAITALL))
WAY(recv_trunc, recv(fd, NULL, sizeof(space), MSG_TRUNC))
WAY(recvfrom, recvfrom(fd, space, 1, 0, NULL, NULL))
WAY(readv, readv(fd, IOV, 1))
WAY(preadv2, preadv2(fd, IOV, 1, -1, RWF_HIPRI))
WAY(recvmsg, recvmsg(fd, &(struct msghdr)MSG, 0))
WAY(peek, recv(fd, space, sizeof(space), MSG_PEEK))
WAY(no_bytes, read(fd, space, 0))
WAY(recv_no_bytes, recv(fd, space, 0, 0))

/* Gives the number of messages: a stream's end is one of no bytes. */
APART static long by_recvmmsg(int fd)
{
	struct mmsghdr m = { MSG, 0 };
	int n;

	told.from = wall_ns();
	n = recvmmsg(fd, &m, 1, 0, NULL);
	told.to = wall_ns();
	return n == 1 ? (long)m.msg_len : -1;
}

static int new_pipe(void)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		die("pipe");
	return ends[1]; /* the other one keeps it */
}

APART static long by_splice(int fd)
{
	int to = new_pipe();
	long n;

	told.from = wall_ns();
	n = splice(fd, NULL, to, NULL, 4096, 0);
	told.to = wall_ns();
	return n;
}

APART static long by_sendfile(int fd)
{
	int to = new_pipe();
	long n;

	told.from = wall_ns();
	n = sendfile(to, fd, NULL, 4096);
	told.to = wall_ns();
	return n;
}

APART static long by_poll(int fd)
{
	struct pollfd p = { fd, POLLIN, 0 };

	if (poll(&p, 1, -1) != 1)
		die("poll");
	told.from = wall_ns();
	if (read(fd, space, sizeof(space)))
		die("a read after poll");
	told.to = wall_ns();
	return 0;
}

APART static long by_epoll(int fd)
{
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP };

	if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) || epoll_wait(ep, &ev, 1, -1) != 1)
		die("epoll");
	close(ep);
	told.from = wall_ns();
	if (recv(fd, space, sizeof(space), MSG_DONTWAIT))
		die("a read after epoll");
	told.to = wall_ns();
	return 0;
}

/* Only the call after the one that takes what there is tells. */
APART static long by_recv_twice(int fd)
{
	long n;

	if (recv(fd, space, sizeof(space), 0) <= 0)
		die("what was said before the end");
	n = by_recv(fd);
	sink++;
	return n;
}

APART static long take_all(int fd)
{
	return recv(fd, space, sizeof(space), 0);
}

APART static long by_peek_after_all(int fd)
{
	if (take_all(fd) <= 0)
		die("what was said before the end");
	return by_peek(fd);
}

APART static long by_no_bytes_after_all(int fd)
{
	if (take_all(fd) <= 0)
		die("what was said before the end");
	return by_no_bytes(fd);
}

APART static long by_splice_twice(int fd)
{
	long n;

	if (splice(fd, NULL, new_pipe(), NULL, 4096, 0) <= 0)
		die("what was said before the end");
	n = by_splice(fd);
	sink++;
	return n;
}

/* A function whose operation a ring does. */
#define RING(name, ...)                                              \
	APART static long by_##name(int fd)                          \
	{                                                            \
		struct io_uring_sqe sqe = { .fd = fd, __VA_ARGS__ }; \
		long n = ring_run(&sqe);                             \
                                                                     \
		sink++;                                              \
		return n;                                            \
	}

#define INTO .addr = (unsigned long)space, .len = sizeof(space)

RING(uring_recv, .opcode = IORING_OP_RECV, INTO)
RING(uring_read, .opcode = IORING_OP_READ, INTO)
RING(uring_readv, .opcode = IORING_OP_READV, .addr = (unsigned long)IOV, .len = 1)
RING(uring_recvmsg, .opcode = IORING_OP_RECVMSG, .addr = (unsigned long)&(struct msghdr)MSG,
     .len = 1)
RING(uring_async, .opcode = IORING_OP_RECV, .flags = IOSQE_ASYNC, INTO)

APART static long by_uring_splice(int fd)
{
	struct io_uring_sqe sqe = { .opcode = IORING_OP_SPLICE,
				    .fd = new_pipe(),
				    .off = (unsigned long long)-1,
				    .splice_off_in = (unsigned long long)-1,
				    .splice_fd_in = fd,
				    .len = 4096 };
	return ring_run(&sqe);
}

const struct way ways[] = {
	{ "read", by_read, "by_read" },
	{ "recv", by_recv, "by_recv" },
	{ "recv-waitall", by_recv_waitall, "by_recv_waitall" },
	{ "recv-trunc", by_recv_trunc, "by_recv_trunc" },
	{ "recvfrom", by_recvfrom, "by_recvfrom" },
	{ "readv", by_readv, "by_readv" },
	{ "preadv2", by_preadv2, "by_preadv2" },
	{ "recvmsg", by_recvmsg, "by_recvmsg" },
	{ "recvmmsg", by_recvmmsg, "by_recvmmsg" },
	{ "splice", by_splice, "by_splice" },
	{ "sendfile", by_sendfile, "by_sendfile" },
	{ "poll", by_poll, "by_poll" },
	{ "epoll", by_epoll, "by_epoll" },
	{ "recv-after-data", by_recv_twice, "by_recv by_recv_twice", .with_data = true },
	{ "splice-after-data", by_splice_twice, "by_splice by_splice_twice", .with_data = true },
	{ "read-waits", by_read, "by_read", .waits = true },
	{ "uring-recv", by_uring_recv, "ring_run by_uring_recv" },
	{ "uring-read", by_uring_read, "ring_run by_uring_read" },
	{ "uring-readv", by_uring_readv, "ring_run by_uring_readv" },
	{ "uring-recvmsg", by_uring_recvmsg, "ring_run by_uring_recvmsg" },
	{ "uring-waits", by_uring_recv, "ring_run by_uring_recv", .waits = true },
	{ "uring-async", by_uring_async, "" },
	{ "uring-splice", by_uring_splice, "" },
	{ "peek", by_peek, "" },
	{ "no-bytes", by_no_bytes, "" },
	{ "recv-no-bytes", by_recv_no_bytes, "", .with_data = true },
	{ "peek-after-all", by_peek_after_all, "", .with_data = true, .at_once = true },
	{ "no-bytes-after-all", by_no_bytes_after_all, "", .with_data = true, .at_once = true },
	{ "recv-takes-all", by_recv, "", .with_data = true, .at_once = true, .gives = 100 },
	{ "splice-takes-all", by_splice, "", .with_data = true, .at_once = true, .gives = 100 },
	{ 0 },
};
