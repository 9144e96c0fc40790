/* SPDX-License-Identifier: MIT */
/* Whether what a filter names exists at all: "nothing is wrong there" and "there is no such place"
 * are different answers, and a health check must not take the one for the other. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "doctor/filter.h"
#include "kernel/proc.h"

#define FOUND 1

static int unknown(struct err *e, const char *what, const char *name, const char *advice)
{
	_buf_ struct buf typed = { 0 };

	text_escape(&typed, name, strlen(name), false);
	return err_set(e, -ENOENT, "%s '%s'%s", what, typed.data ? typed.data : "", advice);
}

static int check_netns(const struct filter *f, const struct census *c, struct err *e)
{
	for (uint32_t i = 0; i < c->netns_n; i++)
		if (filter_match_netns(f, c, i))
			return 0;
	return unknown(e, "there is no network namespace", f->netns,
		       c->limits.netns_untold && !c->limits.privileged
			       ? " among those that may be seen: run as root"
			       : "; --columns netns shows their names");
}

static int check_pid(const struct filter *f, struct err *e)
{
	_fd_ int pidfd = (int)syscall(SYS_pidfd_open, f->pid, 0);

	if (pidfd >= 0)
		return 0;
	if (errno == ESRCH)
		return err_set(e, -ENOENT, "there is no process %u", f->pid);
	if (errno == EINVAL || errno == ENOENT) /* the second since Linux 6.9 */
		return err_set(e, -ENOENT, "%u is a thread; --pid wants its process", f->pid);
	return 0;
}

/* Whether the filter means the process; never a thread of the kernel, which holds nothing, where
 * `programs`. */
static bool is_meant(const struct filter *f, uint32_t pid, bool programs)
{
	struct census_proc p = { .pid = pid };
	struct proc_info info = { 0 };
	bool found;

	if (proc_read(pid, &info) < 0)
		return false;
	memcpy(p.comm, info.comm, sizeof(p.comm));
	p.cgroup = info.cgroup;
	if (p.cgroup)
		proc_container_id(p.cgroup, p.container, sizeof(p.container));
	found = filter_match_proc(f, &p) && !(programs && info.is_kernel_thread);
	free(info.cgroup);
	return found;
}

static int each_proc(uint32_t pid, void *arg)
{
	return is_meant(arg, pid, false) ? FOUND : 0;
}

/* Processes that are meant and whose descriptors may not be read. */
struct hidden {
	const struct filter *f;
	uint32_t n, pid; /* the first */
};

static int each_hidden(uint32_t pid, void *arg)
{
	struct hidden *h = arg;
	char path[32];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%u/fd", pid);
	dir = opendir(path);
	if (dir) {
		closedir(dir);
		return 0;
	}
	if ((errno != EACCES && errno != EPERM) || !is_meant(h->f, pid, true))
		return 0;
	if (h->n++ == 0)
		h->pid = pid;
	return 0;
}

int filter_check_seen(const struct filter *f, const struct census *c, struct err *e)
{
	const char *advice = c->limits.privileged ? "" : "; run as root";
	struct hidden h = { .f = f };
	int r = 0;

	if (c->tier == CENSUS_TIER_BPF || (!f->pid && !f->comm && !f->cgroup))
		return 0;
	if (f->pid)
		r = each_hidden(f->pid, &h);
	else
		r = proc_walk(each_hidden, &h, e);
	if (r < 0 || h.n == 0)
		return r;
	if (h.n == 1)
		return err_set(e, -EACCES, "may not see process %u's descriptors%s", h.pid, advice);
	return err_set(e, -EACCES,
		       "may not see the descriptors of %u processes that are meant, such as %u%s",
		       h.n, h.pid, advice);
}

int filter_check(const struct filter *f, const struct census *c, struct err *e)
{
	struct filter comm = { .comm = f->comm }, cgroup = { .cgroup = f->cgroup };
	int r = f->netns ? check_netns(f, c, e) : 0;

	if (r == 0 && f->pid)
		r = check_pid(f, e);
	if (r == 0 && f->comm && (r = proc_walk(each_proc, &comm, e)) == 0)
		return unknown(e, "no process is called", f->comm, "");
	if (r >= 0 && f->cgroup && (r = proc_walk(each_proc, &cgroup, e)) == 0)
		return unknown(e, "no process is in a cgroup or container with the part", f->cgroup,
			       "");
	return r < 0 ? r : 0;
}
