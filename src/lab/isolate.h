/* SPDX-License-Identifier: MIT */
/* The namespaces that a run lives in, and dies with. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

/* Forks a child as the first process of a pid namespace of its own, in user, mount and network
 * namespaces of its own (as root, where user namespaces are forbidden, without one). It ends with
 * its maker. Returns the child's pid in the maker, 0 in the child; -errno with a text that says
 * what refused and how to allow it. */
pid_t isolate_fork(struct err *e);

/* Where `code` says that something was refused in the namespaces (EPERM, EACCES, EROFS), adds to
 * the text who may have to allow it, and how. Returns `code`. */
int isolate_explain(int code, struct err *e);

/* As isolate_fork(), but without namespaces: a child that ends with its maker. */
pid_t isolate_fork_plain(struct err *e);

/* In the child: gives it a /proc of its own. Returns false where that is refused; /proc must then
 * not be read, as it shows other processes. */
bool isolate_own_proc(void);

/* In a process of a run: makes its whole file system read-only, for it and its children. Returns 0
 * or -errno. */
int isolate_read_only(void);
