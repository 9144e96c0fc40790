/* SPDX-License-Identifier: MIT */
/* Why the kernel refused to load programs: -EPERM has many reasons, and none is told. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
