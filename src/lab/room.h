/* SPDX-License-Identifier: MIT */
/* The room in which a scenario's Lua runs: a process of its own that has nothing but a socket to
 * the run. It asks for what it wants done, one request at a time, and waits for each answer. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

/* Longest message either way: what an actor wrote (ACTOR_OUTPUT_BYTES) as JSON, and less than a
 * socket's default buffer, which a message must fit in whole. */
#define ROOM_MESSAGE_BYTES (192u << 10)

/* Memory that a script may use, Lua's own included, and instructions that it may execute in all.
 * The largest scenario of the catalogue uses a hundredth of either. */
#define ROOM_MEMORY_BYTES (16u << 20)
#define ROOM_INSTRUCTIONS 20000000
/* Where the instructions are spent inside one library call, the kernel ends it. */
#define ROOM_CPU_SECONDS 2

/* What an error has at most of the file's name, so that the line after it fits; Lua's own errors
 * have at least so many bytes of its end. */
#define ROOM_NAME_BYTES 160
#define ROOM_NAME_TAIL  50

/* What the script is told. */
struct room_facts {
	const char *client, *server; /* addresses */
	int port;                    /* to listen on: 13; 0 on loopback, where the kernel chooses */
	bool loopback, ipv6;
};

/* Starts the room with a script. `name` stands in messages. Returns the pid with `*fd` the run's
 * end of the socket (owned, CLOEXEC), or -errno with text. */
pid_t room_start(const char *name, const char *text, size_t len, const struct room_facts *facts,
		 int *fd, struct err *e);
