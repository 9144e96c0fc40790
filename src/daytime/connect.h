/* SPDX-License-Identifier: MIT */
#pragma once

#include <netdb.h>
#include <stdint.h>

#include "base/err.h"

/* "127.0.0.1:13", "[fe80::1%eth0]:13" */
#define CONNECT_TEXT (NI_MAXHOST + NI_MAXSERV + 4)

/* Looks `host` and `port` (a number or a service's name) up. `family` is AF_UNSPEC, AF_INET or
 * AF_INET6, `type` SOCK_STREAM or SOCK_DGRAM. Ends by `deadline` (CLOCK_MONOTONIC, nanoseconds): a
 * name is looked up by a thread, which goes on alone where it does not answer. Returns 0 or a
 * negative errno value; the list is freed with freeaddrinfo(). */
int connect_resolve(const char *host, const char *port, int family, int type, int64_t deadline,
		    struct addrinfo **list, struct err *e);

/* Writes an address as people do. Returns `text`. */
char *connect_text(const struct sockaddr *sa, socklen_t len, char text[CONNECT_TEXT]);

/* Milliseconds for poll(2) until `deadline` (CLOCK_MONOTONIC, nanoseconds), rounded up; 0 where it
 * has passed, and an hour at most: whoever waits longer looks again. */
int connect_poll_ms(int64_t deadline);

/* Puts the addresses in the order in which they are tried: the families take turns, each in the
 * order in which the resolver gave it (RFC 8305, 4). Returns how many, at most `max`. */
size_t connect_order(const struct addrinfo *list, const struct addrinfo **order, size_t max);

/* Connects to the first address of the list that answers (RFC 8305, 5): the families take turns,
 * the next address is tried as soon as one fails and 250 ms after one that is silent, and what is
 * under way stays under way. Returns a non-blocking descriptor, and its address in `peer`; or
 * -errno, with every address and what became of it in `e`. Ends by `deadline` (CLOCK_MONOTONIC,
 * nanoseconds). */
int connect_any(const struct addrinfo *list, int64_t deadline, char peer[CONNECT_TEXT],
		struct err *e);
