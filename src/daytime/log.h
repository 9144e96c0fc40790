/* SPDX-License-Identifier: MIT */
/* Log lines that never make the service wait. Lines go into a buffer of fixed size and from there
 * to the descriptor as far as it takes them now; what does not fit is dropped whole and counted,
 * and the count is told once there is room again. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_CAP  16384
#define LOG_LINE 512

struct log {
	int fd;
	bool socket; /* write with send(MSG_DONTWAIT) */
	bool polled; /* the descriptor could not be made non-blocking: ask poll() before writing */
	bool pipe; /* others may write to it, too: hand on no more at a time than stays in one piece
		    */
	bool owned; /* fd is ours to close */
	bool file;  /* writing may block, whatever was asked for: see daytime/log_writer.h */
	_Atomic uint64_t *writer_lost; /* lines that the writer could not write; NULL: no writer */
	char prefix[32];
	size_t prefix_len;
	uint64_t lost;      /* lines dropped in all */
	uint64_t lost_told; /* of these, already told */
	size_t start, len;
	char data[LOG_CAP];
};

/* Takes the descriptor (usually 2). Opens a description of its own where it can, so that making it
 * non-blocking disturbs nobody who shares it. `prefix` starts every line. Cannot fail. */
void log_open(struct log *l, int fd, const char *prefix);
void log_close(struct log *l);

/* Sends what comes, and what waits, to this socket; takes it. */
void log_redirect(struct log *l, int socket);

/* How many lines were lost so far, here and by the writer. */
uint64_t log_lost(const struct log *l);

/* Adds one line of `len` bytes, cut to LOG_LINE with its prefix; it goes on with the next
 * log_line() or log_flush(). For lines that are many: nothing is formatted. */
void log_add(struct log *l, const char *text, size_t len);

/* Adds one line and hands on what can be. */
void log_line(struct log *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Tries again to hand on what waits. Returns whether something still waits. */
bool log_flush(struct log *l);

/* Hands on what can be; lines that still wait are lost, and counted. */
void log_end(struct log *l);
