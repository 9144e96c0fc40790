/* SPDX-License-Identifier: MIT */
/* Reads a descriptor through io_uring, or closes it, without a library.
 *   uread FD recv|read|readv|close|fixed [async]
 * async: from a worker thread of the kernel's. close: at a line of its standard input. fixed: recv,
 * from the ring's own table of files, once the descriptor is closed, which it says. Prints what the
 * call returned, then waits for the end of its standard input; exits 77 where the kernel refuses a
 * ring. */
#include <errno.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define REFUSED 77

static void *map_ring(int ring, size_t size, off_t what)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, what);

	if (p == MAP_FAILED)
		exit(1);
	return p;
}

static int operation(const char *how)
{
	if (!strcmp(how, "recv") || !strcmp(how, "fixed"))
		return IORING_OP_RECV;
	if (!strcmp(how, "close"))
		return IORING_OP_CLOSE;
	return !strcmp(how, "readv") ? IORING_OP_READV : IORING_OP_READ;
}

static struct io_uring_sqe call_of(int fd, const char *how, int async)
{
	static char space[16];
	static struct iovec iov = { space, sizeof(space) };
	int op = operation(how);

	if (op == IORING_OP_CLOSE)
		return (struct io_uring_sqe){ .opcode = IORING_OP_CLOSE,
					      .flags = async ? IOSQE_ASYNC : 0,
					      .fd = fd };
	return (struct io_uring_sqe){
		.opcode = (__u8)op,
		.flags = async ? IOSQE_ASYNC : 0,
		.fd = fd,
		.addr = op == IORING_OP_READV ? (unsigned long)&iov : (unsigned long)space,
		.len = op == IORING_OP_READV ? 1 : sizeof(space),
	};
}

/* One operation, from its submission to its end. */
static int run(int ring, const struct io_uring_params *p, const struct io_uring_sqe *sqe)
{
	char *sq = map_ring(ring, p->sq_off.array + p->sq_entries * sizeof(unsigned),
			    IORING_OFF_SQ_RING);
	char *cq = map_ring(ring, p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe),
			    IORING_OFF_CQ_RING);
	struct io_uring_sqe *sqes = map_ring(ring, p->sq_entries * sizeof(struct io_uring_sqe),
					     IORING_OFF_SQES);

	sqes[0] = *sqe;
	((unsigned *)(sq + p->sq_off.array))[0] = 0;
	__atomic_store_n((unsigned *)(sq + p->sq_off.tail), 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1)
		exit(1);
	return ((struct io_uring_cqe *)(cq + p->cq_off.cqes))[0].res;
}

/* From here on the file is number 0 in the ring's table, and there alone. */
static void move_to_table(int ring, int fd, struct io_uring_sqe *sqe)
{
	if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES, &fd, 1))
		exit(1);
	close(fd);
	sqe->fd = 0;
	sqe->flags |= IOSQE_FIXED_FILE;
}

int main(int argc, char **argv)
{
	struct io_uring_params p = { 0 };
	struct io_uring_sqe sqe;
	int ring;

	if (argc < 3)
		return 2;
	ring = (int)syscall(SYS_io_uring_setup, 1, &p);
	if (ring < 0)
		return errno == EPERM || errno == ENOSYS ? REFUSED : 1;
	if (!strcmp(argv[2], "close"))
		getchar();
	sqe = call_of(atoi(argv[1]), argv[2], argc > 3);
	if (!strcmp(argv[2], "fixed")) {
		move_to_table(ring, sqe.fd, &sqe);
		puts("moved");
		fflush(stdout);
	}
	printf("%d\n", run(ring, &p, &sqe));
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
