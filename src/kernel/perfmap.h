/* SPDX-License-Identifier: MIT */
/* Perf maps: the names that JIT compilers give to the code that they make, /tmp/perf-PID.map, one
 * "START SIZE NAME" a line, the numbers hexadecimal (Linux
 * tools/perf/Documentation/jit-interface.txt). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The pure look-up: finds the last entry of the map that covers `address` (a JIT that reuses memory
 * adds the newer one below) and writes its name, NUL-terminated and cut to `cap`, and where it
 * starts. Lines that are no entry are passed over. Returns whether there is one. */
bool perfmap_find(const char *text, size_t len, uint64_t address, char *name, size_t cap,
		  uint64_t *start);

/* Reads the map of a process, as it is seen in that process's own mount and pid namespaces;
 * `through` is the process, or a thread of it that has not ended. Returns the text, to be freed,
 * with its length; NULL where there is none or it is larger than 64 MiB. */
char *perfmap_read(pid_t pid, pid_t through, size_t *len);
