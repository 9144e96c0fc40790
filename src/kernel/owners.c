/* SPDX-License-Identifier: MIT */
#include "kernel/owners.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "kernel/proc.h"
#include "kernel/tcpinfo.h"
#include "tcp/sample.h"

uint64_t owner_socket_inode(const char *link, size_t len)
{
	static const char prefix[] = "socket:[";
	size_t head = sizeof(prefix) - 1;
	uint64_t ino;
	char digits[24];

	if (len < head + 2 || memcmp(link, prefix, head) || link[len - 1] != ']')
		return 0;
	len -= head + 1;
	if (len >= sizeof(digits))
		return 0;
	memcpy(digits, link + head, len);
	digits[len] = '\0';
	return num_u64(digits, 1, UINT64_MAX, &ino) == 0 ? ino : 0;
}

struct walk {
	owner_each_fn *each;
	void *arg;
	struct census_unseen unseen;
};

/* A kernel thread has no descriptors to see. */
static void count_unseen(struct census_unseen *u, uint32_t pid)
{
	struct proc_info info = { 0 };
	uint32_t i = 0;

	if (proc_read(pid, &info) < 0)
		return;
	free(info.cgroup);
	if (info.is_kernel_thread)
		return;
	u->processes++;
	while (i < u->users_n && u->users[i].uid != info.uid)
		i++;
	if (i == CENSUS_UNSEEN_USERS)
		return;
	if (i == u->users_n)
		u->users[u->users_n++].uid = info.uid;
	u->users[i].processes++;
}

static int walk_entry(DIR *dir, const char *name, uint32_t pid, struct walk *w)
{
	char link[64];
	struct owner o = { .pid = pid };
	uint64_t fd;
	ssize_t n;

	if (num_u64(name, 0, INT32_MAX, &fd) < 0)
		return 0;
	n = readlinkat(dirfd(dir), name, link, sizeof(link));
	o.inode = n > 0 ? owner_socket_inode(link, (size_t)n) : 0;
	if (!o.inode)
		return 0;
	o.fd = (int32_t)fd;
	return w->each(&o, w->arg);
}

static int walk_proc(uint32_t pid, void *arg)
{
	struct walk *w = arg;
	struct dirent *entry;
	char path[32];
	DIR *dir;
	int r = 0;

	snprintf(path, sizeof(path), "/proc/%u/fd", pid);
	dir = opendir(path);
	if (!dir) {
		if (errno == EACCES || errno == EPERM)
			count_unseen(&w->unseen, pid);
		return 0;
	}
	while (r == 0 && (entry = readdir(dir)))
		r = walk_entry(dir, entry->d_name, pid, w);
	closedir(dir);
	return r;
}

int owners_walk(owner_each_fn *each, void *arg, struct census_unseen *unseen, struct err *e)
{
	struct walk w = { each, arg, { 0 } };
	int r = proc_walk(walk_proc, &w, e);

	if (r == 0)
		*unseen = w.unseen;
	return r;
}

/* sockfs names its protocol: "TCP", "TCPv6", "MPTCP", "UNIX". */
static bool is_tcp(const struct owner *o)
{
	char path[64], name[32];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%u/fd/%d", o->pid, o->fd);
	n = getxattr(path, "system.sockprotoname", name, sizeof(name) - 1);
	if (n <= 0)
		return false;
	name[n] = '\0';
	return !strcmp(name, "TCP") || !strcmp(name, "TCPv6");
}

static int copy_of(const struct owner *o)
{
	_fd_ int pidfd = (int)syscall(SYS_pidfd_open, o->pid, 0);
	int copy;

	if (pidfd < 0)
		return -errno;
	copy = (int)syscall(SYS_pidfd_getfd, pidfd, o->fd, 0);
	return copy < 0 ? -errno : copy;
}

/* getpeername(2) refuses without a connection. SO_PEERNAME tells what it was, and wants just the
 * length that it has to give (inet_getname(), peer == 2). */
static void read_peer(int fd, uint8_t family, struct tcp_addr *peer)
{
	struct sockaddr_storage sa;
	socklen_t len = family == AF_INET ? sizeof(struct sockaddr_in)
					  : sizeof(struct sockaddr_in6);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERNAME, &sa, &len) == 0)
		tcp_addr_from_sockaddr(peer, &sa, len);
}

static void read_addresses(int fd, struct tcp_sample *s)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return;
	tcp_addr_from_sockaddr(&s->local, &sa, len);
	read_peer(fd, s->local.family, &s->peer);
}

/* SIOCGSKNS wants CAP_NET_ADMIN over the namespace. */
static uint64_t netns_of(int fd)
{
	_fd_ int ns = ioctl(fd, SIOCGSKNS);
	struct stat st;

	return ns >= 0 && fstat(ns, &st) == 0 ? st.st_ino : 0;
}

/* An error that waits (sk_err) can be asked for only by taking it away from the program; poll(2)
 * tells that there is one. */
static void read_error(int fd, struct tcp_sample *s)
{
	struct pollfd p = { fd, 0, 0 };

	s->error_waits = poll(&p, 1, 0) > 0 && p.revents & POLLERR;
}

static void read_queue(int fd, struct tcp_sample *s)
{
	int unread = 0;

	if (ioctl(fd, SIOCINQ, &unread) == 0 && unread > 0)
		s->recv_q = (uint32_t)unread;
}

int owner_look(const struct owner *o, struct tcp_sample *out)
{
	struct tcp_sample s = { 0 };
	_fd_ int fd = -1;
	struct stat st;
	socklen_t len;

	if (!is_tcp(o))
		return 0;
	fd = copy_of(o);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || st.st_ino != o->inode || tcpinfo_ask(fd, &s) < 0)
		return 0;
	s.inode = (uint32_t)o->inode;
	len = sizeof(s.cookie);
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &s.cookie, &len) < 0)
		s.cookie = 0;
	s.netns = netns_of(fd);
	read_error(fd, &s);
	read_queue(fd, &s);
	read_addresses(fd, &s);
	*out = s;
	return 1;
}
