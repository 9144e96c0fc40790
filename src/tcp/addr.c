/* SPDX-License-Identifier: MIT */
#include "tcp/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static bool is_unspecified(const struct tcp_addr *a)
{
	static const uint8_t zero[16];

	return !memcmp(a->bytes, zero, sizeof(zero));
}

char *tcp_addr_host_text(const struct tcp_addr *a, char buf[TCP_ADDR_TEXT])
{
	if (a->family != AF_INET && a->family != AF_INET6)
		return strcpy(buf, "?");
	if (is_unspecified(a))
		return strcpy(buf, "*");
	if (!inet_ntop(a->family, a->bytes, buf, TCP_ADDR_TEXT))
		return strcpy(buf, "?");
	return buf;
}

char *tcp_addr_text(const struct tcp_addr *a, char buf[TCP_ADDR_TEXT])
{
	char host[TCP_ADDR_TEXT];

	tcp_addr_host_text(a, host);
	if (a->family == AF_INET6 && strchr(host, ':'))
		snprintf(buf, TCP_ADDR_TEXT, "[%.*s]:%u", INET6_ADDRSTRLEN, host, a->port);
	else
		snprintf(buf, TCP_ADDR_TEXT, "%.*s:%u", INET6_ADDRSTRLEN, host, a->port);
	return buf;
}

bool tcp_addr_equal(const struct tcp_addr *a, const struct tcp_addr *b)
{
	return a->family == b->family && a->port == b->port &&
	       !memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

bool tcp_addr_is_v4mapped(const struct tcp_addr *a)
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

	return a->family == AF_INET6 && !memcmp(a->bytes, prefix, sizeof(prefix));
}

struct tcp_addr tcp_addr_plain(const struct tcp_addr *a)
{
	struct tcp_addr p = { .family = AF_INET, .port = a->port };

	if (!tcp_addr_is_v4mapped(a))
		return *a;
	memcpy(p.bytes, a->bytes + 12, 4);
	return p;
}

int tcp_addr_from_sockaddr(struct tcp_addr *a, const void *sa, size_t len)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	sa_family_t family;

	if (len < sizeof(family))
		return -EAFNOSUPPORT;
	memcpy(&family, sa, sizeof(family));
	if (family == AF_INET && len >= sizeof(in)) {
		memcpy(&in, sa, sizeof(in));
		*a = (struct tcp_addr){ .family = AF_INET, .port = ntohs(in.sin_port) };
		memcpy(a->bytes, &in.sin_addr, 4);
		return 0;
	}
	if (family == AF_INET6 && len >= sizeof(in6)) {
		memcpy(&in6, sa, sizeof(in6));
		*a = (struct tcp_addr){ .family = AF_INET6,
					.port = ntohs(in6.sin6_port),
					.scope = in6.sin6_scope_id };
		memcpy(a->bytes, &in6.sin6_addr, 16);
		return 0;
	}
	return -EAFNOSUPPORT;
}

size_t tcp_addr_to_sockaddr(const struct tcp_addr *a, void *sa, size_t cap)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(a->port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
				    .sin6_port = htons(a->port),
				    .sin6_scope_id = a->scope };

	if (a->family == AF_INET && cap >= sizeof(in)) {
		memcpy(&in.sin_addr, a->bytes, 4);
		memcpy(sa, &in, sizeof(in));
		return sizeof(in);
	}
	if (a->family == AF_INET6 && cap >= sizeof(in6)) {
		memcpy(&in6.sin6_addr, a->bytes, 16);
		memcpy(sa, &in6, sizeof(in6));
		return sizeof(in6);
	}
	return 0;
}

int tcp_addr_parse_host(struct tcp_addr *a, const char *text)
{
	struct tcp_addr parsed = { .family = AF_INET };

	if (inet_pton(AF_INET, text, parsed.bytes) != 1) {
		parsed.family = AF_INET6;
		if (inet_pton(AF_INET6, text, parsed.bytes) != 1)
			return -EINVAL;
	}
	*a = parsed;
	return 0;
}
