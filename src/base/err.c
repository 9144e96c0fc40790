/* SPDX-License-Identifier: MIT */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Cuts an incomplete UTF-8 sequence off the end, as vsnprintf() may leave one. */
static void trim_utf8(char *s, size_t cap)
{
	size_t n = strlen(s);

	if (n + 1 < cap)
		return;
	while (n > 0 && ((unsigned char)s[n - 1] & 0xc0) == 0x80)
		n--;
	if (n > 0 && (unsigned char)s[n - 1] >= 0xc0)
		n--;
	s[n] = '\0';
}

static void err_vset(struct err *e, int code, bool with_errno, const char *fmt, va_list ap)
{
	size_t n;

	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	n = strlen(e->text);
	if (with_errno)
		snprintf(e->text + n, sizeof(e->text) - n, ": %s", strerror(-code));
	trim_utf8(e->text, sizeof(e->text));
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	if (e) {
		va_start(ap, fmt);
		err_vset(e, code, false, fmt, ap);
		va_end(ap);
	}
	errno = saved;
	return code;
}

int err_errno(struct err *e, int code, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	if (e) {
		va_start(ap, fmt);
		err_vset(e, code, true, fmt, ap);
		va_end(ap);
	}
	errno = saved;
	return code;
}
