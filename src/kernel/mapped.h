/* SPDX-License-Identifier: MIT */
/* The files that a process has mapped. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Opens for reading the file that the process has mapped from address `start` on, `name` in its
 * /proc/PID/maps. Returns a descriptor; -ENXIO where that is no regular file; -ESTALE where another
 * one has taken its name, or nothing is mapped there any more; or another -errno. Waits for the
 * disk, or the server, and for nobody else. */
int mapped_open(pid_t pid, const char *name, uint64_t start);

/* Whether libdw may look for the debug information `link` (NULL: the file's name with .debug) of
 * the file `name`, whose owner may not be trusted. It opens what lies beside the file, whatever
 * that is. */
bool mapped_debug_is_safe(const char *name, const char *link);
