/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * A run is the first process of its own pid namespace: when it ends, for whatever reason, the
 * kernel kills every process in it, and with the last process its network namespaces, interfaces
 * and mounts are gone. The run itself ends with its maker (PR_SET_PDEATHSIG). So nothing is left
 * behind even by SIGKILL, and there is no clean-up code that could fail.
 *
 * The maker writes the child's user map: as an ordinary user its own number onto itself, so that
 * programs run as who they are, without privileges (an exec as non-root drops those of the
 * namespace); as root the range below 65536, so that a program can give up root for another user as
 * it would outside.
 */
#include "lab/isolate.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

#define RUN_NAMESPACES (CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET)

#define CONTAINER_HINT                                                               \
	"in a container its profile must allow it, as with docker's --security-opt " \
	"seccomp=unconfined"

/* The switch of this kernel's that is off, and how to turn it on; NULL where none is. */
static const char *hint_of_switches(void)
{
	static const struct {
		const char *path, *bad, *hint;
	} switches[] = {
		{ "/proc/sys/user/max_user_namespaces", "0",
		  "user namespaces are switched off; allow them with "
		  "'sysctl user.max_user_namespaces=1000'" },
		{ "/proc/sys/kernel/unprivileged_userns_clone", "0",
		  "unprivileged user namespaces are switched off; allow them with "
		  "'sysctl kernel.unprivileged_userns_clone=1'" },
		{ "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1",
		  "AppArmor restricts unprivileged user namespaces; allow them with "
		  "'sysctl kernel.apparmor_restrict_unprivileged_userns=0'" },
	};

	for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++) {
		char text[16];
		ssize_t n = fd_read_text(switches[i].path, text, sizeof(text));

		if (n > 0 && text[strcspn(text, "\n")] == '\n' &&
		    !strncmp(text, switches[i].bad, strcspn(text, "\n")))
			return switches[i].hint;
	}
	return NULL;
}

/* Why the kernel refuses to clone, in the words of whoever has to allow it. */
static int refused(int code, struct err *e)
{
	const char *hint = hint_of_switches();

	if (hint)
		return err_set(e, code, "%s", hint);
	return err_errno(e, code, "the kernel refuses a user namespace (" CONTAINER_HINT ")");
}

int isolate_explain(int code, struct err *e)
{
	const struct err was = *e;
	const char *hint = hint_of_switches();

	if (code != -EPERM && code != -EACCES && code != -EROFS)
		return code;
	if (code == -EROFS)
		hint = "/proc/sys is read-only here; a container is to leave it writable, as with "
		       "docker's --security-opt systempaths=unconfined";
	return err_set(e, code, "%s (%s)", was.text, hint ? hint : CONTAINER_HINT);
}

static int write_file(pid_t pid, const char *name, const char *text)
{
	char path[64];
	_fd_ int fd = -1;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
}

/* Maps one id onto itself, or as root the usual range; a root with less than that maps itself. */
static int write_map(pid_t pid, const char *name, unsigned id, bool root)
{
	char text[64];
	int r = -EPERM;

	if (root)
		r = write_file(pid, name, "0 0 65536");
	if (r < 0) {
		snprintf(text, sizeof(text), "%u %u 1", id, id);
		r = write_file(pid, name, text);
	}
	return r;
}

static int write_maps(pid_t pid, struct err *e)
{
	bool root = geteuid() == 0;
	int r = 0;

	if (!root)
		r = write_file(pid, "setgroups", "deny");
	if (r == 0)
		r = write_map(pid, "gid_map", getegid(), root);
	if (r == 0)
		r = write_map(pid, "uid_map", geteuid(), root);
	if (r < 0)
		return isolate_explain(err_errno(e, r, "mapping the user into a user namespace"),
				       e);
	return 0;
}

/* The child's first steps: it is bound to its maker, says so, and waits to be mapped. The maker
 * lets it go only when it has said so: whenever the maker dies, either the kernel ends the child,
 * or the child finds nobody there. (In its pid namespace getppid() is 0 either way.) */
static void child_begin(int maker)
{
	char byte;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || send(maker, "b", 1, MSG_NOSIGNAL) != 1 ||
	    fd_read_all(maker, &byte, 1) != 1) /* the maker has died meanwhile, or gave up */
		_exit(1);
	close(maker);
	signal(SIGINT, SIG_IGN); /* the maker decides; it ends us */
	signal(SIGTERM, SIG_DFL);
}

static pid_t clone_child(unsigned long flags)
{
	/* Like fork(): the child goes on with a copy of everything. */
	return (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
}

/* Lets a child go that has said that it is bound. Returns 0 or -errno with text. */
static int let_go(int child, struct err *e)
{
	char byte;
	ssize_t n = fd_read_all(child, &byte, 1);
	int r = n == 1 ? 0 : n < 0 ? (int)n : -ECHILD;

	if (r == 0 && send(child, "g", 1, MSG_NOSIGNAL) != 1)
		r = -errno;
	return r < 0 ? err_errno(e, r, "starting a run: its process has ended at once") : 0;
}

static pid_t start(unsigned long flags, struct err *e)
{
	int pair[2], r = 0;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(e, -errno, "making a socket pair");
	fflush(NULL);
	pid = clone_child(flags);
	if (pid == 0) {
		close(pair[0]);
		child_begin(pair[1]);
		return 0;
	}
	r = pid < 0 ? -errno : 0;
	close(pair[1]);
	if (r == 0 && flags & CLONE_NEWUSER)
		r = write_maps(pid, e);
	else if (r < 0)
		refused(r, e);
	if (r == 0)
		r = let_go(pair[0], e);
	close(pair[0]);
	if (r < 0 && pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return r < 0 ? r : pid;
}

pid_t isolate_fork(struct err *e)
{
	pid_t pid = start(RUN_NAMESPACES | CLONE_NEWUSER, e);

	if (pid < 0 && geteuid() == 0) {
		struct err unused;
		pid_t plain = start(RUN_NAMESPACES, &unused);

		if (plain >= 0)
			return plain;
	}
	return pid;
}

pid_t isolate_fork_plain(struct err *e)
{
	return start(0, e);
}

bool isolate_own_proc(void)
{
	/* A mount must not spread to where we came from. In a chroot, "/" is no mount, but /proc
	 * is. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 &&
	    mount(NULL, "/proc", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return false;
	return mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0;
}

/* In a chroot "/" is no mount that could be set read-only: a copy of the tree is, and takes its
 * place. */
static int read_only_copy(struct mount_attr *attr)
{
	_fd_ int tree = open_tree(AT_FDCWD, "/",
				  OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

	if (tree < 0 ||
	    mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, attr, sizeof(*attr)) < 0 ||
	    fchdir(tree) < 0 || chroot(".") < 0)
		return -errno;
	return 0;
}

int isolate_read_only(void)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

	if (unshare(CLONE_NEWNS) < 0)
		return -errno;
	if (mount_setattr(-1, "/", AT_RECURSIVE, &attr, sizeof(attr)) == 0)
		return 0;
	return errno == EINVAL ? read_only_copy(&attr) : -errno;
}
