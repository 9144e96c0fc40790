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
	int64_t timeout_ns;
	bool until_end; /* read to the end of the stream, not only a line */
	size_t limit;   /* bytes of the reply at most */
};

struct client_reply {
	struct buf bytes;
	bool cut;   /* there was more than the limit */
	bool ended; /* the end of the stream was read */
	int fd;     /* the connection, still open; the caller's */
	char peer[CONNECT_TEXT];
};

/* Connects to `host` and reads its reply. A reply ends at the end of the stream, at the limit, or,
 * unless `until_end`, when it holds a whole non-empty line and nothing more waits in the socket:
 * a server that never closes does not hold the client. Returns 0; or -errno with `reply` untouched.
 * An end of stream before any byte is -ENODATA. */
int client_fetch(const struct client_config *c, const char *host, const char *port,
		 struct client_reply *reply, struct err *e);

/* Whether the bytes hold a line end after something else than line ends. */
bool client_has_line(const char *bytes, size_t len);
