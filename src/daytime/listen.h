/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define DAYTIME_PORT 13 /* RFC 867 */

struct listen_spec {
	const char *address; /* NULL: all addresses, both families on one socket */
	uint16_t port;       /* 0: the kernel chooses */
	bool shared;         /* SO_REUSEPORT: several listeners share the port's connections */
};

/* Opens a non-blocking TCP listener; `port` tells the port. Without an address, IPv4 alone where
 * the host has no IPv6. Returns the descriptor or -errno. Does not block. */
int listen_tcp(const struct listen_spec *spec, uint16_t *port, struct err *e);

/* Opens a non-blocking UDP socket that tells each datagram's local address, on the same terms. */
int listen_udp(const struct listen_spec *spec, uint16_t *port, struct err *e);

/* Has an already bound UDP socket tell each datagram's local address. Returns 0 or -errno. */
int listen_udp_adopt(int fd, struct err *e);

/* The port that a socket is bound to, or -errno. */
int listen_port(int fd, uint16_t *port);
