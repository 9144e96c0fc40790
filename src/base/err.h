/* SPDX-License-Identifier: MIT */
/* Error text, built where the facts are known and printed only by cmd/. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>

/* What went wrong, in one line for a person: what was tried, on what, what happened, what to do.
 * Plain data; zero-initialise. */
struct err {
	char text[512];
};

/* Sets the text and returns `code`, so that a failing function can end in
 * `return err_set(e, -errno, ...)`. `code` is a negative errno value. A NULL `e` is allowed.
 * Text that does not fit is cut, on a character boundary. Leaves errno as it was. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As err_set(), and appends ": " and the kernel's name for the error. */
int err_errno(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
