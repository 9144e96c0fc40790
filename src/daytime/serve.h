/* SPDX-License-Identifier: MIT */
/* One connection, from its reply to its close. */
#pragma once

#include <netinet/in.h>

#include "daytime/server.h"

/* Gives a connection that was just accepted a slot, or refuses it. Takes `fd`. Returns the slot, or
 * CONN_NONE. */
uint32_t serve_admit(struct server *s, int fd, const struct sockaddr_in6 *peer);

/* Replies to connections that were just admitted, and starts to close them, or keeps them. All are
 * sent to, then all are shut down: one path through the kernel at a time stays in the caches. */
void serve_new(struct server *s, const uint32_t *slot, unsigned count);

/* Has a look at every connection that is fresh for too long, or while there are more than `most`:
 * closes those whose client has closed, and has the epoll watch the others. Then closes what other
 * functions here have left to be closed. */
void serve_settle(struct server *s, uint32_t most);

/* Reads on after the FIN; closes at the end of the stream, or when a bound is hit. */
void serve_drain(struct server *s, uint32_t i);

/* Ends the hold of a connection: closes it as one that was never held. */
void serve_end_hold(struct server *s, uint32_t i);

/* Resets a connection whose time is up. */
void serve_time_up(struct server *s, uint32_t i);

/* Closes with a reset: the kernel forgets the connection at once, and no TIME_WAIT stays. */
void serve_reset(int fd);

/* Makes the text of the present second, unless it is made. */
void serve_refresh_text(struct server *s);
