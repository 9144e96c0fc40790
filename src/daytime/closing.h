/* SPDX-License-Identifier: MIT */
/* Descriptors that are closed together. The kernel gives out the lowest number that is free, so
 * that connections which came together mostly have numbers in a row: those end with one
 * close_range(2), where the calls themselves are a large part of the cost. Only for a process of
 * one thread: a number between two that wait here must not be given to anybody meanwhile. */
#pragma once

#define CLOSING_MAX 64

struct closing {
	int fd[CLOSING_MAX];
	unsigned count;
};

/* Takes `fd`; it is closed by the next closing_flush(), or now where no more can wait. */
void closing_add(struct closing *c, int fd);

/* Closes all that wait. A kernel without close_range(2) has them closed one by one. */
void closing_flush(struct closing *c);
