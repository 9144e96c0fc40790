/* SPDX-License-Identifier: MIT */
/* What /proc says of a process. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct proc_info {
	uint32_t uid;
	uint64_t start; /* starttime of /proc/PID/stat, in ticks since boot */
	uint64_t netns; /* inode; 0: may not be read */
	char comm[16];
	char *cgroup; /* path in the unified hierarchy, else the longest of the old ones; NULL:
			 none. The caller frees it */
	bool is_kernel_thread;
};

/* Reads one process. Fields that may not be read are left zero. Returns 0, or -ESRCH where there is
 * no such process. Bytes are as the process chose them. */
int proc_read(uint32_t pid, struct proc_info *out);

/* The caller's pid namespace as an inode number, 0 where it is the initial one. */
uint32_t proc_own_pidns(void);

/* Called for each process id of /proc; return non-zero to stop. */
typedef int proc_each_fn(uint32_t pid, void *arg);

/* Returns 0, the callback's non-zero, or -errno with text. */
int proc_walk(proc_each_fn *each, void *arg, struct err *e);

/* The pure decoders. Of /proc/PID/stat: comm (which may hold anything, parentheses included),
 * starttime, and whether it is a thread of the kernel. Returns 0, or -EBADMSG with `out` untouched.
 */
struct proc_stat {
	char comm[16];  /* NUL-terminated, cut where it is longer */
	uint64_t start; /* ticks (sysconf(_SC_CLK_TCK) a second) since boot */
	bool is_kernel_thread;
};
int proc_decode_stat(const char *text, size_t len, struct proc_stat *out);

/* Of /proc/PID/stat: where the program that it executes lies, all 0 where that may not be read or
 * there is none: startcode, endcode and startstack. Returns 0, or -EBADMSG with `out` untouched. */
struct proc_image {
	uint64_t code_start, code_end, stack_start;
};
int proc_decode_image(const char *text, size_t len, struct proc_image *out);

/* A thread of the process that has not ended, by its number: the process's own, but where that
 * thread has ended before others, since /proc shows no files and no memory of it then. Returns
 * `pid` where there is none. */
uint32_t proc_living_thread(uint32_t pid);

/* Of /proc/PID/cgroup: points `path` into `text`. Returns the path's length, 0 where there is none.
 */
size_t proc_decode_cgroup(const char *text, size_t len, const char **path);

/* The container that a cgroup path names: the last component that carries 64 hexadecimal digits
 * (docker, containerd, CRI-O, podman), or what follows "lxc.payload." or "lxc/" or
 * "machine.slice/". Writes it, NUL-terminated, "" where there is none; returns whether there is
 * one. */
bool proc_container_id(const char *cgroup, char *out, size_t cap);
