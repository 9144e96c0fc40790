/* SPDX-License-Identifier: MIT */
/* Names of functions as their sources have them. */
#pragma once

#include <stddef.h>

/* Longer symbols are left as they are: libiberty takes no longer ones of C++. */
#define DEMANGLE_MAX 1024

/* The function that a symbol of C++ (Itanium ABI) or Rust (legacy and v0) stands for, without
 * parameters, hash and clone; any other symbol as it is. `to` gets at most `cap` - 1 bytes, which
 * end in "..." where the name is longer, and a 0. NULL: an empty name. Symbols are strangers'
 * bytes: what one of them means is not taken further than 16 KiB. */
void demangle(const char *symbol, char *to, size_t cap);
