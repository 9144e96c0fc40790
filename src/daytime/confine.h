/* SPDX-License-Identifier: MIT */
/* Giving up what the server does not need once it has its sockets. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

/* Who to become. */
struct confine_user {
	char name[64];
	uid_t uid;
	gid_t gid;
};

#define CONFINE_STAY "none" /* --user's word for "stay as I am" */

/* Looks up whom a server started as root becomes: `name`, or where that is NULL "daytimed" if there
 * is such a user, else "nobody". Reads the user database. Returns 0, or -errno. */
int confine_find_user(const char *name, struct confine_user *u, struct err *e);

/* Drops the supplementary groups, the group and the user, in this order, and proves that root does
 * not come back. Returns 0 or -errno; after a failure the process must not serve. */
int confine_become(const struct confine_user *u, struct err *e);

/* Empties the capability bounding set, where the process has CAP_SETPCAP, and proves it; and the
 * ambient set. A root of a container that lacks CAP_SETPCAP keeps the bounding set: there is little
 * to gain from it, and no_new_privs takes that too. Call before confine_become(), which loses
 * CAP_SETPCAP. Returns 0 or -errno; after a failure the process must not serve. */
int confine_bounds(struct err *e);

/* Drops every capability and sets no_new_privs. Returns 0 or -errno. */
int confine_capabilities(struct err *e);

/* What a process will do, which decides which system calls it keeps. */
enum confine_part {
	CONFINE_UDP = 1,        /* serve UDP */
	CONFINE_CLOCK = 2,      /* ask how good the clock is, for the NIST form */
	CONFINE_POLLED_LOG = 4, /* poll() before writing to the log, or for its writer's end */
	CONFINE_SUPERVISE = 8,  /* watch over workers, and serve nothing */
	CONFINE_WRITER = 16,    /* write the log, and serve nothing */
};

/* The names of the system calls that are allowed, ended by NULL, for confine_syscalls() and for the
 * test that compares them with what is called. `parts` is a mask of enum confine_part. Returns how
 * many there are: at most 20, but in a build for coverage. */
#define CONFINE_SYSCALLS_MAX 48
unsigned confine_names(unsigned parts, const char *names[CONFINE_SYSCALLS_MAX + 1]);

/* Installs the seccomp filter: any other call kills the process, or where `kill` is false fails
 * with ENOSYS. Returns 0 or -errno. A build with a sanitizer calls much else: it
 * installs none, and returns 1. */
int confine_syscalls(unsigned parts, bool kill, struct err *e);

/* Raises the limit of open files to at least `need`, as far as may be. Returns how many there may
 * be. */
unsigned long confine_open_files(unsigned long need);
