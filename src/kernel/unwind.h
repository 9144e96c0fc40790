/* SPDX-License-Identifier: MIT */
/* Turns registers and a copy of a stack into function names, files and lines. */
#pragma once

#include "kernel/bpf/watch.h"
#include "tcp/watch.h"

struct unwinder;

/* Returns an owned unwinder, or NULL without memory. */
struct unwinder *unwinder_new(void);
void unwinder_free(struct unwinder *u);

/* Unwinds `s` with the .eh_frame or .debug_frame of the program and libraries that its process has
 * mapped now, and names each call: from debug information (in the file, or in a separate one below
 * /usr/lib/debug or beside it), else from the symbol table, else from a perf map. Never fails: what
 * could not be had is said in out->note. Reads files; blocks for them only, never for a network. */
void unwind(struct unwinder *u, const struct watch_stack *s, struct tw_stack *out);

/* Lets go of the debug information that the last calls were named from: some 20 MiB. Names stay,
 * and what is needed later is read again. */
void unwinder_rest(struct unwinder *u);
