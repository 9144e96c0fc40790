/* SPDX-License-Identifier: MIT */
/* What the kernel's type information says of its functions. */
#pragma once

struct btf;

/* How many arguments the function has. Returns that, -ENOENT where there is no such function, or
 * -EINVAL where it is said wrong. */
int prototype_arguments(const struct btf *kernel, const char *function);
