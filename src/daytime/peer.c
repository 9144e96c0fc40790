/* SPDX-License-Identifier: MIT */
#include "daytime/peer.h"

#include <arpa/inet.h>
#include <string.h>

/* By hand: inet_ntop(3) and printf(3) together cost a fourth of what the connection's line does. */
static char *put_number(char *to, unsigned n)
{
	char digits[10];
	unsigned count = 0;

	do
		digits[count++] = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	while (count > 0)
		*to++ = digits[--count];
	return to;
}

static char *put_ipv4(char *to, const unsigned char bytes[4])
{
	for (int i = 0; i < 4; i++) {
		if (i > 0)
			*to++ = '.';
		to = put_number(to, bytes[i]);
	}
	return to;
}

size_t peer_address(const struct sockaddr_in6 *peer, char to[PEER_ADDRESS_MAX])
{
	const unsigned char *v4 = NULL;
	char *end;

	if (peer->sin6_family == AF_INET)
		v4 = (const void *)&((const struct sockaddr_in *)peer)->sin_addr;
	else if (IN6_IS_ADDR_V4MAPPED(&peer->sin6_addr))
		v4 = &peer->sin6_addr.s6_addr[12];
	if (!v4)
		return strlen(inet_ntop(AF_INET6, &peer->sin6_addr, to, PEER_ADDRESS_MAX));
	end = put_ipv4(to, v4);
	*end = '\0';
	return (size_t)(end - to);
}

size_t peer_text(const struct sockaddr_in6 *peer, char to[PEER_TEXT_MAX])
{
	static const char port[] = " port ";
	size_t len = peer_address(peer, to);
	char *end;

	memcpy(to + len, port, sizeof(port) - 1);
	end = put_number(to + len + sizeof(port) - 1, ntohs(peer->sin6_port));
	*end = '\0';
	return (size_t)(end - to);
}
