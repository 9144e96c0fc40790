/* SPDX-License-Identifier: MIT */
/* Giving up what the server does not need once it has its sockets. */
#pragma once

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

/* Empties the capability bounding set and the ambient set, as far as CAP_SETPCAP allows: without it
 * there is little to gain from them, and no_new_privs takes that too. Call before confine_become(),
 * which loses CAP_SETPCAP. */
void confine_bounds(void);

/* Drops every capability and sets no_new_privs. Returns 0 or -errno. */
int confine_capabilities(struct err *e);
