/* SPDX-License-Identifier: MIT */
#include "kernel/owners.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
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
	uint32_t unseen;
};

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
		w->unseen += errno == EACCES || errno == EPERM;
		return 0;
	}
	while (r == 0 && (entry = readdir(dir)))
		r = walk_entry(dir, entry->d_name, pid, w);
	closedir(dir);
	return r;
}

int owners_walk(owner_each_fn *each, void *arg, uint32_t *unseen, struct err *e)
{
	struct walk w = { each, arg, 0 };
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

static void read_addresses(int fd, struct tcp_sample *s)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	if (getsockname(fd, (struct sockaddr *)&sa, &len) == 0)
		tcp_addr_from_sockaddr(&s->local, &sa, len);
	len = sizeof(sa);
	if (getpeername(fd, (struct sockaddr *)&sa, &len) == 0)
		tcp_addr_from_sockaddr(&s->peer, &sa, len);
}

/* SIOCGSKNS wants CAP_NET_ADMIN over the namespace. */
static uint64_t netns_of(int fd)
{
	_fd_ int ns = ioctl(fd, SIOCGSKNS);
	struct stat st;

	return ns >= 0 && fstat(ns, &st) == 0 ? st.st_ino : 0;
}

int owner_look(const struct owner *o, struct tcp_sample *out)
{
	struct tcp_sample s = { .has_info = true };
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);
	_fd_ int fd = -1;
	struct stat st;

	if (!is_tcp(o))
		return 0;
	fd = copy_of(o);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || st.st_ino != o->inode)
		return 0;
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return 0;
	s.state = info.tcpi_state;
	s.inode = (uint32_t)o->inode;
	s.segs_in = info.tcpi_segs_in;
	s.segs_out = info.tcpi_segs_out;
	s.bytes_received = info.tcpi_bytes_received;
	s.bytes_acked = info.tcpi_bytes_acked;
	s.bytes_sent = info.tcpi_bytes_sent;
	s.last_ack_recv_ms = info.tcpi_last_ack_recv;
	s.last_data_recv_ms = info.tcpi_last_data_recv;
	s.last_data_sent_ms = info.tcpi_last_data_sent;
	len = sizeof(s.cookie);
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &s.cookie, &len) < 0)
		s.cookie = 0;
	s.netns = netns_of(fd);
	read_addresses(fd, &s);
	*out = s;
	return 1;
}
