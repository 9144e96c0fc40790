/* SPDX-License-Identifier: MIT */
/* A connection storm on loopback: a server, which is the textbook's (accept, time, localtime,
 * asctime, write, close) or does the least (accept, write, close), and clients that connect, read
 * to the end of the stream and close, as fast as they can. What fails ends the process. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define STORM_CLIENTS 8 /* at most */

struct storm {
	pid_t pid[1 + STORM_CLIENTS]; /* of the server, then the clients */
	_Atomic uint64_t *counts;     /* a client's at each 64th */
	unsigned clients;
};

struct storm_moment {
	double at;      /* seconds */
	double used;    /* microseconds of processor time, of server and clients */
	uint64_t count; /* of connections */
};

/* Enters a network namespace of its own: the TIME_WAIT entries end with it. */
void storm_network(void);

/* Starts a storm, and returns when it is warm. */
void storm_start(struct storm *s, bool textbook, unsigned clients);

struct storm_moment storm_look(const struct storm *s);
void storm_sleep(double seconds);
void storm_stop(const struct storm *s);
