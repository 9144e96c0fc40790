/* SPDX-License-Identifier: MIT */
#include "daytime/closing.h"

#include <unistd.h>

/* By insertion: they come nearly in order. */
static void sort(int *fd, unsigned count)
{
	for (unsigned i = 1; i < count; i++) {
		int one = fd[i];
		unsigned k = i;

		for (; k > 0 && fd[k - 1] > one; k--)
			fd[k] = fd[k - 1];
		fd[k] = one;
	}
}

/* Closes `count` descriptors in a row, from `first`. */
static void close_row(int first, unsigned count)
{
	if (count > 1 && close_range((unsigned)first, (unsigned)first + count - 1, 0) == 0)
		return;
	for (unsigned i = 0; i < count; i++)
		close(first + (int)i);
}

void closing_flush(struct closing *c)
{
	unsigned next;

	sort(c->fd, c->count);
	for (unsigned i = 0; i < c->count; i = next) {
		for (next = i + 1; next < c->count && c->fd[next] == c->fd[next - 1] + 1; next++)
			continue;
		close_row(c->fd[i], next - i);
	}
	c->count = 0;
}

void closing_add(struct closing *c, int fd)
{
	if (c->count == CLOSING_MAX)
		closing_flush(c);
	c->fd[c->count++] = fd;
}
