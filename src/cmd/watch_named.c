/* SPDX-License-Identifier: MIT */
/* What --pid and --comm name: a typing error would else be a watch that says nothing, for ever. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "cmd/watch.h"
#include "doctor/filter.h"
#include "kernel/proc.h"

int watch_named_open(struct watch_named *n, const pid_t *pids, unsigned count, struct err *e)
{
	for (unsigned i = 0; i < count; i++) {
		struct filter f = { .pid = (uint32_t)pids[i] };
		int r = filter_check(&f, NULL, e);

		if (r)
			return r;
		n->pidfds[i] = (int)syscall(SYS_pidfd_open, pids[i], 0);
		if (n->pidfds[i] < 0 && errno == ESRCH) /* it has ended since it was looked for */
			return err_set(e, -ENOENT, "there is no process %d", (int)pids[i]);
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

static bool has_name(pid_t pid, const char *comm)
{
	struct filter f = { .comm = comm };
	struct proc_info info = { 0 };
	struct census_proc p = { 0 };
	bool has = false;

	if (!proc_read((uint32_t)pid, &info)) {
		memcpy(p.comm, info.comm, sizeof(p.comm));
		has = filter_match_proc(&f, &p);
	}
	free(info.cgroup);
	return has;
}

void watch_named_note(const struct watch_job *job)
{
	struct filter f = { .comm = job->comm };
	_buf_ struct buf typed = { 0 };
	struct err e;

	if (!job->comm)
		return;
	if (!job->pid_count && filter_check(&f, NULL, &e) == -ENOENT)
		fprintf(stderr, "unclosed watch: %s now; one that comes will be watched\n", e.text);
	for (unsigned i = 0; i < job->pid_count; i++) {
		if (has_name(job->pids[i], job->comm))
			return;
	}
	text_escape(&typed, job->comm, strlen(job->comm), false);
	if (job->pid_count)
		fprintf(stderr,
			"unclosed watch: none of --pid is called '%s' now; one that comes to be "
			"will be watched\n",
			typed.data ? typed.data : "");
}
