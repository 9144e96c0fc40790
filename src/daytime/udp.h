/* SPDX-License-Identifier: MIT */
/* Daytime over UDP: any datagram is answered with one (RFC 867).
 *
 * The source of a datagram is whatever its sender wrote there, so that a careless server shoots at
 * whom a stranger names, and two of them keep each other busy for ever on one forged datagram. What
 * is known never to be a client is not answered: a well-known port, where another service would
 * answer back; an address that is not one host's; ourselves. No such rule ends a loop with
 * something that echoes on a high port. Only a rate does: each source has one, and all together
 * have one. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "daytime/counters.h"
#include "daytime/source.h"

struct udp {
	int fd;
	uint16_t port;
	struct rate per_source, all;
	int64_t all_next;
	struct rates sources;
};

/* Whether a datagram from `from` to the address `to`, both IPv6 or IPv4-mapped, may be answered by
 * a service on `port`. `loopback`: it came in on the loopback interface, which only this host sends
 * on. Pure. */
bool udp_may_answer(const struct sockaddr_in6 *from, const struct in6_addr *to, uint16_t port,
		    bool loopback);

/* Reads what waits, at most one round's share, and answers it with the text. Does not block. */
void udp_serve(struct udp *u, const char *text, size_t len, int64_t now, struct counters *count);
