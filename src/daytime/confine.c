/* SPDX-License-Identifier: MIT */
#include "daytime/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int confine_find_user(const char *name, struct confine_user *u, struct err *e)
{
	const struct passwd *pw;

	errno = 0;
	pw = getpwnam(name ? name : "daytimed");
	if (!pw && !name)
		pw = getpwnam("nobody");
	if (!pw)
		return err_set(e, errno ? -errno : -ENOENT,
			       "there is no user '%s' to become; name one with --user",
			       name ? name : "nobody");
	if (pw->pw_uid == 0)
		return err_set(e, -EINVAL,
			       "user '%s' is root; --user=" CONFINE_STAY " says to stay root",
			       pw->pw_name);
	u->uid = pw->pw_uid;
	u->gid = pw->pw_gid;
	snprintf(u->name, sizeof(u->name), "%s", pw->pw_name);
	return 0;
}

/* Whether every kind of user and group id is the new one, and none can be changed back. */
static int prove_gone(const struct confine_user *u, struct err *e)
{
	uid_t r, s, t;
	gid_t rg, sg, tg;

	if (getresuid(&r, &s, &t) < 0 || getresgid(&rg, &sg, &tg) < 0)
		return err_errno(e, -errno, "cannot read back who this process is");
	if (r != u->uid || s != u->uid || t != u->uid || rg != u->gid || sg != u->gid ||
	    tg != u->gid || getgroups(0, NULL) != 0)
		return err_set(e, -EPERM,
			       "still not user '%s' after becoming it; refusing to serve", u->name);
	if (setuid(0) == 0 || seteuid(0) == 0 || setgid(0) == 0)
		return err_set(e, -EPERM, "could become root again; refusing to serve");
	return 0;
}

int confine_become(const struct confine_user *u, struct err *e)
{
	if (setgroups(0, NULL) < 0)
		return err_errno(e, -errno,
				 "cannot drop the supplementary groups (--user=" CONFINE_STAY
				 " stays as it is)");
	if (setresgid(u->gid, u->gid, u->gid) < 0)
		return err_errno(e, -errno,
				 "cannot become group %u of user '%s' (--user=" CONFINE_STAY
				 " stays as it is)",
				 u->gid, u->name);
	if (setresuid(u->uid, u->uid, u->uid) < 0)
		return err_errno(e, -errno,
				 "cannot become user '%s' (--user=" CONFINE_STAY " stays as it is)",
				 u->name);
	return prove_gone(u, e);
}

/* Whether this process may take capabilities from its bounding set; where that cannot be told, it
 * should. */
static bool may_bound(void)
{
	cap_t now = cap_get_proc();
	cap_flag_value_t has = CAP_SET;

	if (now)
		cap_get_flag(now, CAP_SETPCAP, CAP_EFFECTIVE, &has);
	cap_free(now);
	return has == CAP_SET;
}

int confine_bounds(struct err *e)
{
	int count = may_bound() ? cap_max_bits() : 0;

	for (cap_value_t c = 0; c < count; c++) {
		if (cap_get_bound(c) == 0)
			continue;
		if (cap_drop_bound(c) < 0)
			return err_errno(e, -errno,
					 "cannot take capability %d from the bounding set; "
					 "refusing to serve",
					 c);
		if (cap_get_bound(c) != 0)
			return err_set(e, -EPERM,
				       "capability %d is still in the bounding set after its drop; "
				       "refusing to serve",
				       c);
	}
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return err_errno(e, -errno,
				 "cannot clear the ambient capabilities; refusing to serve");
	return 0;
}

int confine_capabilities(struct err *e)
{
	cap_t none = cap_init(), now = cap_get_proc();
	int r = 0;

	/* Where there is none left, a filter around this process may well forbid the call. */
	if (!none || !now || (cap_compare(none, now) != 0 && cap_set_proc(none) < 0))
		r = err_errno(e, -errno, "cannot drop the capabilities");
	cap_free(none);
	cap_free(now);
	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = err_errno(e, -errno, "cannot set no_new_privs");
	return r;
}

#ifdef __SANITIZE_ADDRESS__
static const bool sanitized = true;
#else
static const bool sanitized = false;
#endif

#define SERVE 0U /* no other part */

static const struct {
	const char *name;
	unsigned parts; /* any of these */
} calls[] = {
	{ "accept4", SERVE },
	{ "close", SERVE },
	{ "close_range", SERVE },
	{ "epoll_ctl", SERVE },
#ifdef SYS_epoll_wait
	{ "epoll_wait", SERVE },
#else
	{ "epoll_pwait", SERVE },
#endif
	{ "fcntl", SERVE },
	{ "read", SERVE },
	{ "recvfrom", SERVE },
	{ "setsockopt", SERVE },
	{ "shutdown", SERVE },
	{ "recvmsg", CONFINE_UDP },
	{ "sendmsg", CONFINE_UDP },
	{ "clock_adjtime", CONFINE_CLOCK },
	{ "poll", CONFINE_POLLED_LOG },
	{ "rt_sigtimedwait", CONFINE_SUPERVISE },
	{ "wait4", CONFINE_SUPERVISE },
	{ "kill", CONFINE_SUPERVISE },
	{ "read", CONFINE_WRITER },
#ifdef UNCLOSED_COVERAGE
	{ "fcntl", CONFINE_SUPERVISE },
	{ "close", CONFINE_SUPERVISE },
	{ "read", CONFINE_SUPERVISE },
	{ "fcntl", CONFINE_WRITER },
	{ "close", CONFINE_WRITER },
#endif
};

/* What every process here needs. The clock is usually read without a call (vdso(7)); poll() goes on
 * through restart_syscall after a stop. */
static const char *const common[] = {
	"sendto",     "write",     "exit_group", "clock_gettime", "restart_syscall",
#ifdef UNCLOSED_COVERAGE /* what writes down at the end which lines were run */
	"openat",     "lseek",     "brk",        "mmap",          "munmap",
	"newfstatat", "mkdir",     "getpid",     "futex",         "fstat",
	"ftruncate",  "fdatasync", "getuid",     "umask",         "access",
#endif
};

unsigned confine_names(unsigned parts, const char *names[CONFINE_SYSCALLS_MAX + 1])
{
	unsigned n = 0;

	for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++)
		names[n++] = common[i];
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		bool serving = calls[i].parts == SERVE &&
			       !(parts & (CONFINE_SUPERVISE | CONFINE_WRITER));

		if (serving || (calls[i].parts & parts))
			names[n++] = calls[i].name;
	}
	names[n] = NULL;
	return n;
}

/* Allows one call; of those that can do much, only what is used. */
static int allow(scmp_filter_ctx ctx, const char *name)
{
	int nr = seccomp_syscall_resolve_name(name);

#ifndef UNCLOSED_COVERAGE
	if (!strcmp(name, "fcntl"))
		return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 1,
					SCMP_A1(SCMP_CMP_EQ, F_DUPFD_CLOEXEC));
#endif
	if (!strcmp(name, "setsockopt"))
		return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 2,
					SCMP_A1(SCMP_CMP_EQ, SOL_SOCKET),
					SCMP_A2(SCMP_CMP_EQ, SO_LINGER));
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 0);
}

int confine_syscalls(unsigned parts, bool kill, struct err *e)
{
	const char *names[CONFINE_SYSCALLS_MAX + 1];
	scmp_filter_ctx ctx;
	int r = 0;

	if (sanitized)
		return 1;
	confine_names(parts, names);
	ctx = seccomp_init(kill ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO(ENOSYS));
	if (!ctx)
		return err_set(e, -ENOMEM, "no memory for the seccomp filter");
	/* Nothing here runs code of a stranger's, so that the mitigation against speculative
	 * stores, which kernels before 5.16 tie to seccomp, would only cost. */
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_SSB, 1);
	for (size_t i = 0; r == 0 && names[i]; i++)
		r = allow(ctx, names[i]);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	if (r < 0)
		return err_errno(e, r, "cannot install the seccomp filter; refusing to serve");
	return 0;
}

unsigned long confine_open_files(unsigned long need)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return 0;
	if (l.rlim_cur < need) {
		struct rlimit more = { need, l.rlim_max > need ? l.rlim_max : need };

		if (setrlimit(RLIMIT_NOFILE, &more) < 0) {
			more = (struct rlimit){ l.rlim_max, l.rlim_max };
			setrlimit(RLIMIT_NOFILE, &more);
		}
		getrlimit(RLIMIT_NOFILE, &l);
	}
	return l.rlim_cur;
}
