/* SPDX-License-Identifier: MIT */
/* A client's address as text, for a log with a line for every connection. */
#pragma once

#include <netinet/in.h>
#include <stddef.h>

#define PEER_ADDRESS_MAX INET6_ADDRSTRLEN                               /* the NUL counted */
#define PEER_TEXT_MAX    (PEER_ADDRESS_MAX + sizeof(" port 65535") - 1) /* likewise */

/* Writes the address, as inet_ntop(3) does, and a NUL; an IPv4-mapped IPv6 address (RFC 4291,
 * 2.5.5.2) as the IPv4 one. `peer` may hold a struct sockaddr_in. Returns the length without the
 * NUL. */
size_t peer_address(const struct sockaddr_in6 *peer, char to[PEER_ADDRESS_MAX]);

/* The same and the port: "192.0.2.7 port 4711". */
size_t peer_text(const struct sockaddr_in6 *peer, char to[PEER_TEXT_MAX]);
