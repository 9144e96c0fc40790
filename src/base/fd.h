/* SPDX-License-Identifier: MIT */
/* Descriptors with one owner and one clean-up path. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* Closes `fd` unless it is negative; errno stays as it was. Returns -1, to be stored in its place.
 */
int fd_close(int fd);

static inline void fd_closep(int *fd)
{
	*fd = fd_close(*fd);
}

/* `_fd_ int fd = -1;`: closed when it goes out of scope. */
#define _fd_ __attribute__((cleanup(fd_closep)))

/* Hands an owned descriptor on: returns it and leaves -1 behind. */
static inline int fd_take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* Writes all of `data`, going on after EINTR and short writes. Blocks as the descriptor does.
 * Returns 0 or -errno; how much was written on failure is not known. */
int fd_write_all(int fd, const void *data, size_t len);

/* Reads up to `len` bytes until end of file. Returns the count or -errno. */
ssize_t fd_read_all(int fd, void *data, size_t len);

/* Reads a small file as text, such as one of /proc: at most `cap` - 1 bytes of it, and a NUL behind
 * them. Returns the count or -errno, with `text` empty. */
ssize_t fd_read_text(const char *path, char *text, size_t cap);
