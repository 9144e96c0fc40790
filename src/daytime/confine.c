/* SPDX-License-Identifier: MIT */
#include "daytime/confine.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/capability.h>
#include <sys/prctl.h>
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

void confine_bounds(void)
{
	for (cap_value_t c = 0; c < cap_max_bits(); c++)
		if (cap_get_bound(c) == 1)
			cap_drop_bound(c);
	cap_reset_ambient();
}

int confine_capabilities(struct err *e)
{
	cap_t none = cap_init();
	int r = 0;

	if (!none || cap_set_proc(none) < 0)
		r = err_errno(e, -errno, "cannot drop the capabilities");
	cap_free(none);
	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = err_errno(e, -errno, "cannot set no_new_privs");
	return r;
}
