/* SPDX-License-Identifier: MIT */
#include "kernel/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/vec.h"
#include "kernel/proc.h"

#define OWN_PATH "/proc/thread-self/ns/net"

uint64_t netns_own(void)
{
	struct stat st;

	return stat(OWN_PATH, &st) == 0 ? st.st_ino : 0;
}

static struct netns *find(struct netns_list *l, uint64_t ino)
{
	for (uint32_t i = 0; i < l->n; i++)
		if (l->v[i].ino == ino)
			return &l->v[i];
	return NULL;
}

static struct netns *add(struct netns_list *l, uint64_t ino, const char *path)
{
	struct netns *ns;

	if (vec_reserve(&l->v, &l->cap, l->n + 1, sizeof(*l->v)) < 0)
		return NULL;
	ns = &l->v[l->n++];
	*ns = (struct netns){ .ino = ino };
	snprintf(ns->path, sizeof(ns->path), "%s", path);
	return ns;
}

/* Whether its namespace is none that is not known: threads of the kernel live in the first of all,
 * and one that has ended meanwhile, of which /proc also says EACCES, in none. */
static bool hides_nothing(uint32_t pid)
{
	struct proc_info info = { 0 };

	if (proc_read(pid, &info) < 0)
		return true;
	free(info.cgroup);
	return info.is_kernel_thread;
}

static int add_of_proc(uint32_t pid, void *arg)
{
	struct netns_list *l = arg;
	char path[64];
	struct netns *ns;
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%u/ns/net", pid);
	if (stat(path, &st) < 0) {
		if ((errno == EACCES || errno == EPERM) && !hides_nothing(pid)) {
			if (l->unseen < CENSUS_UNTOLD_PIDS)
				l->unseen_pid[l->unseen] = pid;
			l->unseen++;
		}
		return 0;
	}
	ns = find(l, st.st_ino);
	if (!ns && !(ns = add(l, st.st_ino, path)))
		return -ENOMEM;
	if (!ns->pid || pid < ns->pid) /* proc_walk() goes upwards, but for ids that wrapped */
		ns->pid = pid;
	return 0;
}

/* One line of mountinfo (proc(5)): "36 35 0:4 net:[4026532281] /run/netns/blue rw ... - nsfs nsfs
 * rw". */
static int add_of_mount(struct netns_list *l, const char *line)
{
	unsigned long long ino;
	char mount[96];
	struct netns *ns;
	const char *base;

	if (sscanf(line, "%*s %*s %*s net:[%llu] %95s", &ino, mount) != 2)
		return 0;
	ns = find(l, ino);
	if (!ns && !(ns = add(l, ino, mount)))
		return -ENOMEM;
	base = strrchr(mount, '/');
	if (!ns->name[0])
		snprintf(ns->name, sizeof(ns->name), "%.63s", base ? base + 1 : mount);
	return 0;
}

static int add_mounts(struct netns_list *l)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t cap = 0;
	int r = 0;

	if (!f)
		return 0; /* no names, then */
	while (r == 0 && getline(&line, &cap, f) > 0)
		r = add_of_mount(l, line);
	free(line);
	fclose(f);
	return r;
}

int netns_list(struct netns_list *out, struct err *e)
{
	struct netns_list l = { 0 };
	int r = 0;

	if (!add(&l, netns_own(), OWN_PATH))
		r = -ENOMEM;
	if (r == 0)
		r = proc_walk(add_of_proc, &l, e);
	if (r == 0)
		r = add_mounts(&l);
	if (r < 0) {
		netns_list_free(&l);
		return r == -ENOMEM ? err_set(e, r, "no memory for network namespaces") : r;
	}
	*out = l;
	return 0;
}

void netns_list_free(struct netns_list *l)
{
	free(l->v);
	*l = (struct netns_list){ 0 };
}

/* Opens the namespace `ino` by this path. Returns a descriptor; -ESTALE where the path leads to
 * another one now. */
static int open_path(const char *path, uint64_t ino)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && st.st_ino == ino)
		return fd;
	fd_close(fd);
	return -ESTALE;
}

/* The process that led to it may have ended while others live on in it. */
static int open_namespace(const struct netns *ns, struct err *e)
{
	int fd = open_path(ns->path, ns->ino);
	struct netns_list now = { 0 };
	const struct netns *same;

	if (fd == -EACCES && ns->pid && hides_nothing(ns->pid))
		fd = -ESRCH;
	if (fd == -ENOENT || fd == -ESRCH || fd == -ESTALE) {
		int r = netns_list(&now, e);

		if (r < 0)
			return r;
		same = find(&now, ns->ino);
		fd = same ? open_path(same->path, ns->ino) : -ESTALE;
		netns_list_free(&now);
	}
	if (fd == -ESTALE)
		return err_set(e, fd, "network namespace %llu is gone",
			       (unsigned long long)ns->ino);
	return fd < 0 ? err_errno(e, fd, "opening network namespace %s", ns->path) : fd;
}

int netns_run(const struct netns *ns, int (*fn)(void *arg, struct err *e), void *arg, struct err *e)
{
	_fd_ int home = -1, there = -1;
	int r;

	if (ns->ino == netns_own())
		return fn(arg, e);
	home = open(OWN_PATH, O_RDONLY | O_CLOEXEC);
	if (home < 0)
		return err_errno(e, -errno, "opening the network namespace to come back to");
	there = open_namespace(ns, e);
	if (there < 0)
		return there;
	if (setns(there, CLONE_NEWNET) < 0)
		return err_errno(e, -errno, "entering network namespace %s", ns->path);
	r = fn(arg, e);
	if (setns(home, CLONE_NEWNET) < 0)
		return err_errno(e, -ENOTRECOVERABLE, "coming back from network namespace %s",
				 ns->path);
	return r;
}

/* /proc/sys/net shows the namespace of the thread that opens it. */
static int read_numbers(const char *name, unsigned *a, unsigned *b)
{
	char path[96], text[64];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name);
	if (fd_read_text(path, text, sizeof(text)) <= 0)
		return 0;
	return sscanf(text, "%u %u", a, b);
}

/* "TCP: inuse 5 orphan 0 tw 2 alloc 7 mem 1", "TCP6: inuse 3". A kernel without IPv6 has no
 * sockstat6. */
static void read_sockstat(struct netns_numbers *out)
{
	unsigned in_use4, in_use6 = 0, orphans, time_wait;
	char text[1024];
	const char *line;

	if (fd_read_text("/proc/thread-self/net/sockstat", text, sizeof(text)) <= 0)
		return;
	line = strstr(text, "TCP: ");
	if (!line ||
	    sscanf(line, "TCP: inuse %u orphan %u tw %u", &in_use4, &orphans, &time_wait) != 3)
		return;
	if (fd_read_text("/proc/thread-self/net/sockstat6", text, sizeof(text)) > 0) {
		line = strstr(text, "TCP6: ");
		if (!line || sscanf(line, "TCP6: inuse %u", &in_use6) != 1)
			return;
	}
	out->has_sockstat = true;
	out->in_use = in_use4 + in_use6;
	out->time_wait = time_wait;
}

void netns_numbers(struct netns_numbers *out)
{
	unsigned a = 0, b = 0;

	*out = (struct netns_numbers){ 0 };
	read_sockstat(out);
	if (read_numbers("ip_local_port_range", &a, &b) == 2 && a <= b && b <= UINT16_MAX) {
		out->port_lo = (uint16_t)a;
		out->port_hi = (uint16_t)b;
	}
	if (read_numbers("tcp_fin_timeout", &a, &b) >= 1 && a <= UINT32_MAX / 1000)
		out->fin_timeout_ms = a * 1000;
}
