/* SPDX-License-Identifier: MIT */
/* What --pid and --comm name: a typing error would else be a watch that says nothing, for ever. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "cmd/watch.h"
#include "doctor/filter.h"

int watch_named_open(struct watch_named *n, const pid_t *pids, unsigned count, struct err *e)
{
	for (unsigned i = 0; i < count; i++) {
		struct filter f = { .pid = (uint32_t)pids[i] };
		int r = filter_check(&f, NULL, e);

		if (r)
			return r;
		n->pidfds[i] = (int)syscall(SYS_pidfd_open, pids[i], 0);
		if (n->pidfds[i] < 0)
			return err_errno(e, -errno, "opening process %d", (int)pids[i]);
		n->count++;
	}
	return 0;
}

bool watch_named_ended(struct watch_named *n)
{
	if (!n->count)
		return false;
	for (; n->ended < n->count; n->ended++) {
		struct pollfd p = { .fd = n->pidfds[n->ended], .events = POLLIN };

		if (poll(&p, 1, 0) <= 0)
			return false;
	}
	return true;
}

int watch_named_fd(const struct watch_named *n)
{
	return n->ended < n->count ? n->pidfds[n->ended] : -1;
}

void watch_named_close(struct watch_named *n)
{
	while (n->count)
		fd_close(n->pidfds[--n->count]);
}

void watch_named_note(const char *comm)
{
	struct filter f = { .comm = comm };
	struct err e;

	if (comm && filter_check(&f, NULL, &e) == -ENOENT)
		fprintf(stderr, "unclosed watch: %s now; one that comes will be watched\n", e.text);
}
