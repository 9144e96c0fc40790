/* SPDX-License-Identifier: MIT */
/* io_uring without a library. */
#include "mkread.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *map_ring(int ring, size_t size, off_t what)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, what);

	if (p == MAP_FAILED)
		die("a ring's memory");
	return p;
}

APART long ring_run(const struct io_uring_sqe *sqe)
{
	struct io_uring_params p = { 0 };
	int ring = (int)syscall(SYS_io_uring_setup, 1, &p);
	struct io_uring_sqe *sqes;
	char *sq, *cq;
	long submitted;

	if (ring < 0)
		return errno == EPERM || errno == ENOSYS ? -EPERM : -errno;
	sq = map_ring(ring, p.sq_off.array + p.sq_entries * sizeof(unsigned), IORING_OFF_SQ_RING);
	cq = map_ring(ring, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe),
		      IORING_OFF_CQ_RING);
	sqes = map_ring(ring, p.sq_entries * sizeof(*sqes), IORING_OFF_SQES);
	sqes[0] = *sqe;
	((unsigned *)(sq + p.sq_off.array))[0] = 0;
	__atomic_store_n((unsigned *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
	told.from = wall_ns();
	submitted = syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0);
	told.to = wall_ns();
	if (submitted != 1)
		die("io_uring_enter");
	return ((struct io_uring_cqe *)(cq + p.cq_off.cqes))[0].res;
}
