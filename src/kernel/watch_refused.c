/* SPDX-License-Identifier: MIT */
#include "kernel/watch_refused.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/fd.h"

/* PROC_USER_INIT_INO of include/linux/proc_ns.h. */
#define INITIAL_USER_NS 0xEFFFFFFDu

static bool has(const struct watch_rights *r, unsigned capability)
{
	return r->effective & (1ULL << CAP_SYS_ADMIN | 1ULL << capability);
}

void watch_refused(const struct watch_rights *r, char *text, size_t cap)
{
	bool no_bpf = !has(r, CAP_BPF), no_perfmon = !has(r, CAP_PERFMON);

	if (no_bpf || no_perfmon)
		snprintf(text, cap, "%s%s%s missing; run as root, or with CAP_BPF and CAP_PERFMON",
			 no_bpf ? "CAP_BPF" : "", no_bpf && no_perfmon ? " and " : "",
			 !no_perfmon ? " is"
			 : no_bpf    ? "CAP_PERFMON are"
				     : "CAP_PERFMON is");
	else if (!r->initial_user_ns)
		snprintf(text, cap,
			 "this is a user namespace, whose capabilities do not count for BPF; run "
			 "outside of it");
	else if (r->locked_confidential)
		snprintf(text, cap,
			 "the kernel is locked down (/sys/kernel/security/lockdown says "
			 "confidentiality), so that not even root may look into it");
	else if (r->seccomp)
		snprintf(text, cap,
			 "a seccomp filter is in force, as containers have it; allow bpf(2) there, "
			 "or run outside of it");
	else
		snprintf(text, cap,
			 "every capability is there, so a security module of this host forbids it; "
			 "its log says more");
}

/* How many descriptors may still be opened, counted up to `enough`. */
static unsigned free_descriptors(uint64_t limit, unsigned enough)
{
	unsigned n = 0;

	for (uint64_t fd = 0; fd < limit && fd <= INT_MAX && n < enough; fd++)
		n += fcntl((int)fd, F_GETFD) < 0;
	return n;
}

int watch_check_descriptors(struct err *e)
{
	struct rlimit limit;
	unsigned n;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 0;
	n = free_descriptors(limit.rlim_cur, WATCH_DESCRIPTORS);
	if (n == WATCH_DESCRIPTORS)
		return 0;
	return err_set(e, -EMFILE,
		       "a watch takes %d descriptors, and ulimit -n, which is %ju, leaves it %u; "
		       "allow more, with ulimit -n %ju",
		       WATCH_DESCRIPTORS, (uintmax_t)limit.rlim_cur, n,
		       (uintmax_t)limit.rlim_cur + WATCH_DESCRIPTORS - n);
}

/* The number after a field's name in /proc/self/status; `base` as for strtoull(). 0: none. */
static uint64_t field(const char *status, const char *name, int base)
{
	const char *at = strstr(status, name);

	return at ? strtoull(at + strlen(name), NULL, base) : 0;
}

static void read_file(const char *path, char *text, size_t cap)
{
	_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : fd_read_all(fd, text, cap - 1);

	text[n > 0 ? n : 0] = '\0';
}

struct watch_rights watch_rights(void)
{
	char status[4096], lockdown[128];
	struct stat st;

	read_file("/proc/self/status", status, sizeof(status));
	read_file("/sys/kernel/security/lockdown", lockdown, sizeof(lockdown));
	return (struct watch_rights){
		.effective = field(status, "\nCapEff:", 16),
		.initial_user_ns = stat("/proc/self/ns/user", &st) || st.st_ino == INITIAL_USER_NS,
		.seccomp = field(status, "\nSeccomp:", 10) == 2,
		.locked_confidential = strstr(lockdown, "[confidentiality]"),
	};
}
