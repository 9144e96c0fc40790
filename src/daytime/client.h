/* SPDX-License-Identifier: MIT */
/* The daytime client (RFC 867). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "daytime/connect.h"

struct client_config {
	int family; /* AF_UNSPEC, AF_INET, AF_INET6 */
	bool udp;
	int64_t timeout_ns;
	bool until_end; /* read to the end of the stream, not only a line */
	size_t limit;   /* bytes of the reply at most */
};

struct client_reply {
	struct buf bytes;
	bool cut;                 /* there was more than the limit */
	bool ended;               /* the end of the stream was read */
	int fd;                   /* the connection, still open; the caller's */
	int64_t asked_ns, got_ns; /* CLOCK_REALTIME just before and just after */
	char peer[CONNECT_TEXT];
};

/* Connects to `host` and reads its reply, over UDP where asked: a datagram to each address in turn,
 * repeated once a second, until one is answered. A reply ends at the end of the stream, at the
 * limit, or, unless `until_end`, when it holds a whole non-empty line and nothing more waits in the
 * socket: a server that never closes does not hold the client, and one that resets after a line has
 * said it. Returns 0; or -errno with `reply` untouched. An end of stream before any byte is
 * -ENODATA. */
int client_fetch(const struct client_config *c, const char *host, const char *port,
		 struct client_reply *reply, struct err *e);

/* Whether the bytes hold a line end after something else than line ends. */
bool client_has_line(const char *bytes, size_t len);

/* How far the server's clock is ahead of this one, and how much that may be off either way, in
 * nanoseconds. A reply that names no zone is taken for this host's local time. Returns 0; -EINVAL
 * where the reply's form is not known; -ENOENT where it names a zone that is neither UTC nor this
 * host's: the same letters mean different zones in different places. */
int client_offset(const struct client_reply *r, int64_t *ahead, int64_t *margin);
