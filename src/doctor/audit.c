/* SPDX-License-Identifier: MIT */
#include "doctor/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define AUDIT_ROOT "/var/log/unclosed-release.jsonl"
#define AUDIT_USER "unclosed/release.jsonl"

int audit_default(char path[256], unsigned uid, const char *xdg, const char *home, struct err *e)
{
	int n;

	if (uid == 0)
		n = snprintf(path, 256, "%s", AUDIT_ROOT);
	else if (xdg && *xdg == '/')
		n = snprintf(path, 256, "%s/%s", xdg, AUDIT_USER);
	else if (home && *home == '/')
		n = snprintf(path, 256, "%s/.local/state/%s", home, AUDIT_USER);
	else
		return err_set(e, -ENOENT, "no place for the audit file: HOME is not set");
	if (n >= 256)
		return err_set(e, -ENAMETOOLONG, "the path of the audit file is too long");
	return 0;
}

/* Makes the directories that lead to the file, as far as they are missing. */
static void make_parents(const char *path)
{
	char part[256];

	snprintf(part, sizeof(part), "%s", path);
	for (char *p = part + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		mkdir(part, 0700);
		*p = '/';
	}
}

/* A new file's name is on disk only when its directory is. */
static void sync_parent(const char *path)
{
	char dir[256];
	char *slash;
	_fd_ int fd = -1;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (slash)
		*slash = '\0';
	fd = open(!slash ? "." : slash == dir ? "/" : dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		fsync(fd);
}

static int end_last_line(struct audit *a, struct err *e)
{
	char last;

	if (a->end == 0 || pread(a->fd, &last, 1, a->end - 1) != 1 || last == '\n')
		return 0;
	return audit_write(a, "\n", 1, e);
}

int audit_open(struct audit *a, const char *path, bool parents, struct err *e)
{
	struct audit o = { .fd = -1 };
	struct stat st;
	int r;

	if (strlen(path) >= sizeof(o.path))
		return err_set(e, -ENAMETOOLONG, "the path of the audit file is too long");
	strcpy(o.path, path);
	if (parents)
		make_parents(path);
	o.fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	if (o.fd < 0)
		return err_errno(e, -errno, "opening the audit file %s", path);
	if (fstat(o.fd, &st) < 0 || !S_ISREG(st.st_mode))
		r = err_set(e, -EINVAL, "the audit file %s is no regular file", path);
	else if (flock(o.fd, LOCK_EX | LOCK_NB) < 0)
		r = err_set(e, -errno, "the audit file %s is locked: another release is at work",
			    path);
	else
		r = 0;
	if (r == 0 && st.st_size == 0)
		sync_parent(path);
	o.end = st.st_size;
	if (r == 0)
		r = end_last_line(&o, e);
	if (r < 0) {
		fd_close(o.fd);
		return r;
	}
	*a = o;
	return 0;
}

void audit_close(struct audit *a)
{
	struct stat st;

	/* What was set aside and not used is given back. */
	if (a->fd >= 0 && fstat(a->fd, &st) == 0 && st.st_size == a->end &&
	    ftruncate(a->fd, a->end) < 0)
		errno = 0; /* room that stays taken is no loss */
	a->fd = fd_close(a->fd);
}

int audit_reserve(struct audit *a, size_t bytes, struct err *e)
{
	if (fallocate(a->fd, FALLOC_FL_KEEP_SIZE, a->end, (off_t)bytes) == 0 ||
	    errno == EOPNOTSUPP || errno == ENOSYS)
		return 0;
	return err_errno(e, -errno, "making room in the audit file %s", a->path);
}

int audit_write(struct audit *a, const char *line, size_t len, struct err *e)
{
	int r = fd_write_all(a->fd, line, len);

	if (r == 0 && fdatasync(a->fd) < 0)
		r = -errno;
	if (r < 0) {
		if (ftruncate(a->fd, a->end) < 0)
			return err_errno(e, r,
					 "writing to the audit file %s, which now ends in a "
					 "part of a line",
					 a->path);
		return err_errno(e, r, "writing to the audit file %s", a->path);
	}
	a->end += (int64_t)len;
	return 0;
}
