/* SPDX-License-Identifier: MIT */
/* A log that is a file, written by a process of its own.
 *
 * Linux has no write to a regular file that does not block: on a file system that hangs (a dead NFS
 * server, a FUSE daemon that is stuck) the writer sleeps until it answers. So somebody else does
 * the writing. The service sends its lines through a socket pair, without blocking; once that is
 * full they are dropped and counted as for any log that takes no more (daytime/log.h). The writer
 * has nothing but the pair and the file, and may make three system calls. It passes over the
 * signals that end a service and ends when its last line is written, or when nobody is left to send
 * one. */
#pragma once

#include "base/err.h"
#include "daytime/log.h"

/* Starts the writer where the log is a file; does nothing where it is not. To be called once the
 * process has given up its privileges, and before others are made that write to this log. `kill`:
 * as confine_syscalls(). Returns 0 or -errno. */
int log_writer_start(struct log *l, bool kill, struct err *e);

/* Hands on what waits, tells the writer that this was all, and waits until it is written; for at
 * most `ms` milliseconds. To be called once, when nobody else writes to the log any more. */
void log_writer_end(struct log *l, int ms);
