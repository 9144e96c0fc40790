/* SPDX-License-Identifier: MIT */
/* The audit file: one line before and one after every deed, each on disk before the next step.
 *
 * Room for the line after a deed is set aside together with the one before it, so that a disk that
 * fills up stops the next deed, not the record of the last. Two runs on one file exclude one
 * another: the second is refused rather than mixed in. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct audit {
	int fd;
	int64_t end; /* where the next line begins */
	char path[256];
};

/* Where the file is when nothing was said: root's lies with the system's logs, where it outlives a
 * reboot and is looked for; another user's in $XDG_STATE_HOME/unclosed, or ~/.local/state/unclosed.
 * `xdg` and `home` are the values of the variables, or NULL. Returns 0, or -ENOENT with text where
 * neither is known. Pure. */
int audit_default(char path[256], unsigned uid, const char *xdg, const char *home, struct err *e);

/* Opens the file for appending, made with mode 0600, never through a symbolic link; locks it. With
 * `parents`, directories that are missing on the way are made with mode 0700. Only a regular file
 * will do: nothing else can be synced. An unfinished last line, left by a crash, is ended first.
 * Returns 0, or -errno with text. */
int audit_open(struct audit *a, const char *path, bool parents, struct err *e);
void audit_close(struct audit *a);

/* Sets aside `bytes` behind the end. Returns 0, also where the file system cannot do so; -ENOSPC or
 * -EDQUOT with text where there is no room. */
int audit_reserve(struct audit *a, size_t bytes, struct err *e);

/* Appends one line, newline included, and waits until it is on disk (fdatasync(2)). Returns 0, or
 * -errno with text; a line that was written in part is taken back. */
int audit_write(struct audit *a, const char *line, size_t len, struct err *e);
