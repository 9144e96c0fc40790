/* SPDX-License-Identifier: MIT */
#include "doctor/nsdiag.h"

#include <errno.h>

#include "kernel/diag.h"
#include "kernel/netns.h"

#define CANNOT_BE_OPENED (-2)

static int open_here(void *arg, struct err *e)
{
	int fd = diag_open(e);

	if (fd < 0)
		return fd;
	*(int *)arg = fd;
	return 0;
}

static int open_in(uint64_t ino, int *fd, struct err *e)
{
	struct netns_list all = { 0 };
	int r;

	if (ino == netns_own())
		return open_here(fd, e);
	r = netns_list(&all, e);
	if (r < 0)
		return r;
	r = err_set(e, -ENOENT, "network namespace %llu is gone", (unsigned long long)ino);
	for (uint32_t i = 0; i < all.n; i++)
		if (all.v[i].ino == ino)
			r = netns_run(&all.v[i], open_here, fd, e);
	netns_list_free(&all);
	return r;
}

int nsdiag(const struct census *c, int *fds, uint32_t netns, struct err *e)
{
	int r;

	if (netns >= c->netns_n)
		return err_set(e, -ENOENT, "its network namespace is not known");
	if (fds[netns] >= 0)
		return fds[netns];
	if (fds[netns] == CANNOT_BE_OPENED)
		return err_set(e, -EACCES, "its network namespace cannot be entered");
	r = open_in(c->netns[netns].ino, &fds[netns], e);
	if (r < 0) {
		fds[netns] = CANNOT_BE_OPENED;
		return r;
	}
	return fds[netns];
}
