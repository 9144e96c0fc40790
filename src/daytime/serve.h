/* SPDX-License-Identifier: MIT */
/* One connection, from its reply to its close. */
#pragma once

#include <netinet/in.h>

#include "daytime/server.h"

/* Replies to a connection that was just accepted and starts to close it, or keeps it; or refuses
 * it. Takes `fd`. */
void serve_new(struct server *s, int fd, const struct sockaddr_in6 *peer);

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
