/* SPDX-License-Identifier: MIT */
#include "kernel/demangle.h"

#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <libiberty/demangle.h>

#define ENOUGH 16384 /* bytes; a symbol of a kilobyte may stand for a name of gigabytes */

/* libiberty (2.40) leaks up to 4 KiB where a Rust name in Punycode, "u" and a length, is wrong.
 * Names that only look like one are some in a hundred, and each is asked for once: so many are
 * taken. */
#define PUNYCODES 1000

struct name {
	char *to;
	size_t cap, len;
	jmp_buf enough;
};

/* Neither demangler can be told to stop. */
static void take(const char *part, size_t n, void *arg)
{
	struct name *name = arg;

	if (name->len < name->cap)
		memcpy(name->to + name->len, part,
		       n < name->cap - name->len ? n : name->cap - name->len);
	name->len += n;
	if (name->len > ENOUGH)
		longjmp(name->enough, 1);
}

static bool may_leak(const char *symbol)
{
	static atomic_uint taken;

	for (const char *u = symbol[1] == 'R' ? strchr(symbol, 'u') : NULL; u;
	     u = strchr(u + 1, 'u'))
		if (u[1] >= '0' && u[1] <= '9')
			return atomic_fetch_add(&taken, 1) >= PUNYCODES;
	return false;
}

/* Whether it is one that stands for a name. */
static bool spell(const char *symbol, struct name *name)
{
	if (may_leak(symbol))
		return false;
	if (setjmp(name->enough))
		return true;
	if (rust_demangle_callback(symbol, 0, take, name))
		return true;
	name->len = 0;
	return cplus_demangle_v3_callback(symbol, DMGL_ANSI, take, name);
}

void demangle(const char *symbol, char *to, size_t cap)
{
	struct name name = { .to = to, .cap = cap };
	char *clone;

	if (!symbol || (strncmp(symbol, "_Z", 2) && strncmp(symbol, "_R", 2)) ||
	    strlen(symbol) > DEMANGLE_MAX || !spell(symbol, &name) || !name.len) {
		name.len = (size_t)snprintf(to, cap, "%s", symbol ? symbol : "");
	} else if (name.len < cap) {
		to[name.len] = '\0';
		clone = strstr(to, " [clone ");
		if (clone)
			*clone = '\0';
	}
	if (name.len >= cap)
		snprintf(to + cap - sizeof("..."), sizeof("..."), "...");
}
