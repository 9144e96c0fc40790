/* SPDX-License-Identifier: MIT */
/* Patterns of names, made ready for the kernel's programs. */
#pragma once

#include "kernel/bpf/glob.h"

/* Compiles a pattern of the shell as fnmatch(3) reads it, byte by byte: `*`, `?`, `[a-z]`, `[!a-z]`
 * and `\` before what stands for itself. Returns 0; -E2BIG where it has more than GLOB_ELEMENTS
 * elements. */
int glob_compile(struct glob *out, const char *pattern);
