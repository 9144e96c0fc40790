/* SPDX-License-Identifier: MIT */
/* One end's address: family, bytes, port. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tcp_addr {
	uint8_t family;    /* AF_INET, AF_INET6, or 0 where unknown */
	uint16_t port;     /* host byte order */
	uint32_t scope;    /* interface index of a link-local IPv6 address, else 0 */
	uint8_t bytes[16]; /* network byte order; IPv4 in the first four, the rest zero */
};

/* "10.0.0.1:13", "[fd00::1]:13", "*:13" for the unspecified address of either family. */
#define TCP_ADDR_TEXT 64

/* Writes the address and port as above; returns buf. */
char *tcp_addr_text(const struct tcp_addr *a, char buf[TCP_ADDR_TEXT]);

/* Writes the address alone, no brackets; returns buf. */
char *tcp_addr_host_text(const struct tcp_addr *a, char buf[TCP_ADDR_TEXT]);

/* Same family, bytes and port; the scope is not compared. */
bool tcp_addr_equal(const struct tcp_addr *a, const struct tcp_addr *b);

/* ::ffff:a.b.c.d (RFC 4291 §2.5.5.2). */
bool tcp_addr_is_v4mapped(const struct tcp_addr *a);

/* A v4-mapped address as the IPv4 address that it stands for; any other as it is. */
struct tcp_addr tcp_addr_plain(const struct tcp_addr *a);

/* From and to struct sockaddr_in or sockaddr_in6; `len` is the sockaddr's length. The first returns
 * 0, or -EAFNOSUPPORT for another family or a short length; the second the length written. */
int tcp_addr_from_sockaddr(struct tcp_addr *a, const void *sa, size_t len);
size_t tcp_addr_to_sockaddr(const struct tcp_addr *a, void *sa, size_t cap);

/* Reads a numeric host without a port ("10.0.0.1", "fd00::1"). Returns 0 or -EINVAL. */
int tcp_addr_parse_host(struct tcp_addr *a, const char *text);
