/* SPDX-License-Identifier: MIT */
/* Why the kernel refused to load programs: -EPERM has many reasons, and none is told; and where
 * descriptors run out, libbpf may say something else. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* What the reasons can be told by. */
struct watch_rights {
	uint64_t effective;       /* capabilities, by bit */
	bool initial_user_ns;     /* those of another one do not count for BPF */
	bool seccomp;             /* system calls are filtered */
	bool locked_confidential; /* lockdown(7) keeps the kernel's memory from everybody */
};

/* This process's. What cannot be read counts as no hindrance. */
struct watch_rights watch_rights(void);

/* What is missing, and what to do: a clause for after "not permitted: ". Pure. */
void watch_refused(const struct watch_rights *r, char *text, size_t cap);

/* What a watch has open at most: 48 for its programs, maps and links, and some at a time for walks,
 * processes and files with names of functions. */
#define WATCH_DESCRIPTORS 64

/* Returns 0 where this process may still open so many, else -EMFILE with text. */
int watch_check_descriptors(struct err *e);
