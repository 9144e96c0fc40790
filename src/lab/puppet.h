/* SPDX-License-Identifier: MIT */
/* A scripted process: makes the socket calls it is told, one at a time, and says what each
 * returned. Commands and answers are whole messages on a SOCK_SEQPACKET pair; both sides are this
 * program. */
#pragma once

#include <stdint.h>

#include "tcp/addr.h"

#define PUPPET_DATA_BYTES 4096
/* Where the command socket is; it and the standard descriptors below are no script's to use. */
#define PUPPET_COMMAND_FD 3

enum puppet_op {
	PUPPET_LISTEN,     /* addr, arg[0] backlog, arg[1] a set of PUPPET_REUSE_* -> descriptor */
	PUPPET_SOCKET,     /* arg[0] family -> descriptor */
	PUPPET_BIND,       /* fd, addr */
	PUPPET_CONNECT,    /* fd, addr */
	PUPPET_DISCONNECT, /* fd: connect(2) to AF_UNSPEC */
	PUPPET_ACCEPT,     /* fd -> descriptor */
	PUPPET_WRITE,      /* fd, data; or arg[0] bytes of filling where there is no data */
	PUPPET_READ,       /* fd, arg[0] at most -> bytes, data (the first PUPPET_DATA_BYTES) */
	PUPPET_SHUTDOWN,   /* fd, arg[0] as of shutdown(2) */
	PUPPET_CLOSE,      /* fd */
	PUPPET_SETOPT,     /* fd, arg[0] level, arg[1] name, data */
	PUPPET_NONBLOCK,   /* fd, arg[0] on or off */
	PUPPET_DUP,        /* fd -> descriptor */
	PUPPET_LIMIT,      /* arg[0]: highest number of open descriptors (RLIMIT_NOFILE) */
	PUPPET_FORK, /* data: the child's name; a descriptor rides along: its command socket -> pid
		      */
	PUPPET_SEND_FD, /* fd, arg[0]; a descriptor rides along: the Unix socket to pass fd through
			 */
	PUPPET_TAKE_FD, /* a descriptor rides along: the Unix socket to take one from -> descriptor
			 */
	PUPPET_EXEC,    /* executes `data`, which holds what it inherits until it is killed; arg[0]:
			   keep descriptors (clear FD_CLOEXEC) */
	PUPPET_EXIT,    /* arg[0] status; no answer */
	PUPPET_OP_COUNT
};

/* Options that a listener has from before its bind(2). */
#define PUPPET_REUSE_ADDR 1 /* SO_REUSEADDR */
#define PUPPET_REUSE_PORT 2 /* SO_REUSEPORT */

struct puppet_command {
	uint32_t op; /* enum puppet_op */
	int32_t fd;
	int64_t arg[2];
	struct tcp_addr addr;
	uint32_t len; /* bytes of data */
	char data[PUPPET_DATA_BYTES];
};

struct puppet_answer {
	int64_t result; /* as of the call, -errno on failure */
	uint32_t len;
	char data[PUPPET_DATA_BYTES];
};

/* Obeys until told to exit or until the other end is closed. Never returns. */
_Noreturn void puppet_main(int command);
