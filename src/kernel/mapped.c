/* SPDX-License-Identifier: MIT */
/* Anybody may map a file, and put something else in its place: a FIFO, which nobody writes to; a
 * link to a device, which does something when it is opened; "x (deleted)", which is how
 * /proc/PID/maps calls a file that is gone. So a file is looked at with O_PATH, which opens
 * nothing, and only then opened. */
#include "kernel/mapped.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"

struct mapping {
	uint64_t start, end;
	uint64_t inode;
};

static bool find_mapping(pid_t pid, uint64_t start, struct mapping *m)
{
	char path[64], *line = NULL;
	bool found = false;
	size_t cap = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && getline(&line, &cap, f) > 0)
		found = sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %*s %*s %" SCNu64, &m->start,
			       &m->end, &m->inode) == 3 &&
			m->start == start;
	free(line);
	fclose(f);
	return found;
}

/* `inode` 0: any. */
static int open_regular(const char *path, int flags, uint64_t inode)
{
	_fd_ int there = open(path, O_PATH | O_CLOEXEC | flags);
	char self[32];
	struct stat st;
	int fd;

	if (there < 0 || fstat(there, &st))
		return -errno;
	if (inode && st.st_ino != inode)
		return -ESTALE;
	if (!S_ISREG(st.st_mode))
		return -ENXIO;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", there);
	fd = open(self, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* map_files leads to the file itself, whatever has its name now, but wants CAP_SYS_ADMIN or
 * CAP_CHECKPOINT_RESTORE. By name, as the process sees it, the inode's number has to be the same;
 * the device's may differ, on overlayfs and btrfs. */
int mapped_open(pid_t pid, const char *name, uint64_t start)
{
	char path[PATH_MAX];
	struct mapping m;
	int fd, len;

	if (!find_mapping(pid, start, &m))
		return -ESTALE;
	snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)pid, m.start,
		 m.end);
	fd = open_regular(path, 0, 0);
	if (fd >= 0 || fd == -ENXIO)
		return fd;
	len = snprintf(path, sizeof(path), "/proc/%d/root%s", (int)pid, name);
	if (len >= (int)sizeof(path))
		return -ENAMETOOLONG;
	return open_regular(path, O_NOFOLLOW, m.inode);
}

/* Where something lies there, it is a regular file. */
static bool is_none_or_regular(const char *folder, const char *below, const char *file,
			       const char *suffix)
{
	char path[PATH_MAX];
	struct stat st;
	int len = snprintf(path, sizeof(path), "%s%s/%s%s", folder, below, file, suffix);

	return len < (int)sizeof(path) && (lstat(path, &st) || S_ISREG(st.st_mode));
}

/* Below /usr nobody but root puts anything. Elsewhere a link with a path would lead anywhere. */
bool mapped_debug_is_safe(const char *name, const char *link)
{
	const char *slash = strrchr(name, '/'), *suffix = link ? "" : ".debug";
	char folder[PATH_MAX];

	if (!strncmp(name, "/usr/", 5))
		return true;
	if (!slash || slash - name >= (int)sizeof(folder) || (link && strchr(link, '/')))
		return false;
	snprintf(folder, sizeof(folder), "%.*s", (int)(slash - name), name);
	if (!link)
		link = slash + 1;
	return is_none_or_regular(folder, "", link, suffix) &&
	       is_none_or_regular(folder, "/.debug", link, suffix);
}
