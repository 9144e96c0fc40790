/* SPDX-License-Identifier: MIT */
#include "kernel/proc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"

/* A cgroup path is at most PATH_MAX, and version 1 shows a dozen hierarchies; a longer file is read
 * as far as this. */
#define CGROUP_BYTES 16384

/* proc(5): fields of /proc/PID/stat. The flags are those of include/linux/sched.h. */
#define STAT_FLAGS     9
#define STAT_STARTTIME 22
#define STAT_STARTCODE 26 /* endcode and startstack follow */
#define PF_KTHREAD     0x00200000

/* PROC_PID_INIT_INO of include/linux/proc_ns.h. */
#define INITIAL_PIDNS 0xEFFFFFFCu

uint32_t proc_own_pidns(void)
{
	struct stat st;

	if (stat("/proc/self/ns/pid", &st) || st.st_ino == INITIAL_PIDNS)
		return 0;
	return (uint32_t)st.st_ino;
}

int proc_walk(proc_each_fn *each, void *arg, struct err *e)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	uint64_t pid;
	int r = 0;

	if (!dir)
		return err_errno(e, -errno, "reading /proc");
	while (r == 0 && (entry = readdir(dir)))
		if (num_u64(entry->d_name, 1, INT32_MAX, &pid) == 0)
			r = each((uint32_t)pid, arg);
	closedir(dir);
	return r;
}

static ssize_t read_proc_file(uint32_t pid, const char *name, char *space, size_t cap)
{
	_fd_ int fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return fd_read_all(fd, space, cap);
}

/* Reads the field `number`, counted from 1 as proc(5) does; `from` is the end of the second. */
static int stat_field(const char *from, const char *end, int number, uint64_t *out)
{
	const char *p = from;
	uint64_t value = 0;

	for (int field = 2; field < number; field++) {
		p = memchr(p, ' ', (size_t)(end - p));
		if (!p)
			return -EBADMSG;
		p++;
	}
	if (p == end || !isdigit((unsigned char)*p))
		return -EBADMSG;
	for (; p < end && isdigit((unsigned char)*p); p++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return -EBADMSG;
	*out = value;
	return 0;
}

int proc_decode_stat(const char *text, size_t len, struct proc_stat *out)
{
	const char *open = memchr(text, '(', len), *close = memrchr(text, ')', len);
	struct proc_stat s = { 0 };
	uint64_t flags;
	size_t n;

	if (!open || !close || close < open ||
	    stat_field(close + 1, text + len, STAT_FLAGS, &flags) < 0 ||
	    stat_field(close + 1, text + len, STAT_STARTTIME, &s.start) < 0)
		return -EBADMSG;
	n = (size_t)(close - open - 1);
	memcpy(s.comm, open + 1, n < sizeof(s.comm) ? n : sizeof(s.comm) - 1);
	s.is_kernel_thread = flags & PF_KTHREAD;
	*out = s;
	return 0;
}

int proc_decode_image(const char *text, size_t len, struct proc_image *out)
{
	const char *close = memrchr(text, ')', len), *end = text + len;
	struct proc_image image;

	if (!close || stat_field(close + 1, end, STAT_STARTCODE, &image.code_start) < 0 ||
	    stat_field(close + 1, end, STAT_STARTCODE + 1, &image.code_end) < 0 ||
	    stat_field(close + 1, end, STAT_STARTCODE + 2, &image.stack_start) < 0)
		return -EBADMSG;
	if (!image.stack_start) /* then the others are 1: may not be read */
		image = (struct proc_image){ 0 };
	*out = image;
	return 0;
}

/* Lines are "hierarchy:controllers:path"; the unified hierarchy is "0::". */
size_t proc_decode_cgroup(const char *text, size_t len, const char **path)
{
	const char *end = text + len, *best = NULL;
	size_t best_len = 0;

	for (const char *line = text; line < end;) {
		const char *stop = memchr(line, '\n', (size_t)(end - line));
		const char *one, *two;

		if (!stop)
			stop = end;
		one = memchr(line, ':', (size_t)(stop - line));
		two = one ? memchr(one + 1, ':', (size_t)(stop - one - 1)) : NULL;
		if (two && (size_t)(stop - two - 1) > best_len) {
			best = two + 1;
			best_len = (size_t)(stop - two - 1);
		}
		line = stop + 1;
	}
	if (best)
		*path = best;
	return best_len;
}

#define CONTAINER_HEX 64

static size_t hex_run(const char *s)
{
	size_t n = 0;

	while (isdigit((unsigned char)s[n]) || (s[n] >= 'a' && s[n] <= 'f'))
		n++;
	return n;
}

static bool named_after(const char *cgroup, const char *mark, char *out, size_t cap)
{
	const char *at = strstr(cgroup, mark);
	size_t n;

	if (!at)
		return false;
	at += strlen(mark);
	n = strcspn(at, "/");
	if (n == 0 || n >= cap)
		return false;
	memcpy(out, at, n);
	out[n] = '\0';
	return true;
}

bool proc_container_id(const char *cgroup, char *out, size_t cap)
{
	bool found = false;

	*out = '\0';
	for (const char *p = cgroup; *p;) {
		size_t n = hex_run(p);

		if (n == CONTAINER_HEX && n < cap) {
			memcpy(out, p, n);
			out[n] = '\0';
			found = true;
		}
		p += n ? n : 1;
	}
	return found || named_after(cgroup, "/lxc.payload.", out, cap) ||
	       named_after(cgroup, "/lxc/", out, cap) ||
	       named_after(cgroup, "/machine.slice/", out, cap);
}

static void read_owner(uint32_t pid, struct proc_info *info)
{
	struct stat st;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u", pid);
	if (stat(path, &st) == 0)
		info->uid = st.st_uid;
	snprintf(path, sizeof(path), "/proc/%u/ns/net", pid);
	if (stat(path, &st) == 0)
		info->netns = st.st_ino;
}

static void read_cgroup(uint32_t pid, struct proc_info *info)
{
	char *space = malloc(CGROUP_BYTES);
	const char *path = NULL;
	ssize_t n;
	size_t len;

	if (!space)
		return;
	n = read_proc_file(pid, "cgroup", space, CGROUP_BYTES);
	len = n > 0 ? proc_decode_cgroup(space, (size_t)n, &path) : 0;
	if (len)
		info->cgroup = strndup(path, len);
	free(space);
}

int proc_read(uint32_t pid, struct proc_info *out)
{
	struct proc_info info = { 0 };
	struct proc_stat stat;
	char text[1024];
	ssize_t n = read_proc_file(pid, "stat", text, sizeof(text));

	if (n <= 0 || proc_decode_stat(text, (size_t)n, &stat) < 0)
		return -ESRCH;
	memcpy(info.comm, stat.comm, sizeof(info.comm));
	info.start = stat.start;
	info.is_kernel_thread = stat.is_kernel_thread;
	read_owner(pid, &info);
	read_cgroup(pid, &info);
	*out = info;
	return 0;
}

static bool has_ended(uint32_t tid)
{
	char text[1024];
	ssize_t n = read_proc_file(tid, "stat", text, sizeof(text));
	const char *close = n > 0 ? memrchr(text, ')', (size_t)n) : NULL;

	return !close || text + n - close < 3 || close[2] == 'Z' || close[2] == 'X';
}

uint32_t proc_living_thread(uint32_t pid)
{
	struct dirent *entry;
	uint32_t found = pid;
	char path[64];
	uint64_t tid;
	DIR *dir;

	if (!has_ended(pid))
		return pid;
	snprintf(path, sizeof(path), "/proc/%u/task", pid);
	dir = opendir(path);
	while (dir && found == pid && (entry = readdir(dir)))
		if (num_u64(entry->d_name, 1, INT32_MAX, &tid) == 0 && !has_ended((uint32_t)tid))
			found = (uint32_t)tid;
	if (dir)
		closedir(dir);
	return found;
}
