/* SPDX-License-Identifier: MIT */
#include "lab/forge.h"

#include <net/ethernet.h>
#include <netinet/in.h>
#include <string.h>

#define TCP_LEN       20
#define IPV4_LEN      20
#define IPV6_LEN      40
#define HOP_LIMIT     64
#define FORGED_WINDOW 65535

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)(v >> 16));
	put16(p + 2, (uint16_t)v);
}

/* RFC 1071: the one's complement sum of 16-bit words, `len` even, carried on in `sum`. */
static uint32_t add_words(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void put_tcp(const struct forge_segment *s, uint8_t *t, size_t addr_len)
{
	/* The pseudo-header's protocol and length begin the sum. */
	uint32_t sum = IPPROTO_TCP + TCP_LEN + (uint32_t)s->len;

	memset(t, 0, TCP_LEN + (size_t)s->len + 1);
	memset(t + TCP_LEN, 'x', s->len);
	put16(t, s->src.port);
	put16(t + 2, s->dst.port);
	put32(t + 4, s->seq);
	put32(t + 8, s->ack);
	t[12] = TCP_LEN / 4 << 4;
	t[13] = s->flags;
	put16(t + 14, FORGED_WINDOW);
	sum = add_words(sum, s->src.bytes, addr_len);
	sum = add_words(sum, s->dst.bytes, addr_len);
	put16(t + 16, fold(add_words(sum, t, TCP_LEN + (size_t)s->len + s->len % 2)));
}

static size_t put_ipv4(const struct forge_segment *s, uint8_t *p)
{
	memset(p, 0, IPV4_LEN);
	p[0] = 0x45;
	put16(p + 2, (uint16_t)(IPV4_LEN + TCP_LEN + s->len));
	p[6] = 0x40; /* don't fragment */
	p[8] = HOP_LIMIT;
	p[9] = IPPROTO_TCP;
	memcpy(p + 12, s->src.bytes, 4);
	memcpy(p + 16, s->dst.bytes, 4);
	put16(p + 10, fold(add_words(0, p, IPV4_LEN)));
	put_tcp(s, p + IPV4_LEN, 4);
	return IPV4_LEN + TCP_LEN + (size_t)s->len;
}

static size_t put_ipv6(const struct forge_segment *s, uint8_t *p)
{
	memset(p, 0, IPV6_LEN);
	p[0] = 0x60;
	put16(p + 4, (uint16_t)(TCP_LEN + s->len));
	p[6] = IPPROTO_TCP;
	p[7] = HOP_LIMIT;
	memcpy(p + 8, s->src.bytes, 16);
	memcpy(p + 24, s->dst.bytes, 16);
	put_tcp(s, p + IPV6_LEN, 16);
	return IPV6_LEN + TCP_LEN + (size_t)s->len;
}

size_t forge_frame(const struct forge_segment *s, uint8_t *out, size_t cap)
{
	bool v6 = s->src.family == AF_INET6;

	if (s->src.family != s->dst.family || s->len > FORGE_DATA_MAX ||
	    cap < ETH_HLEN + IPV6_LEN + TCP_LEN + (size_t)s->len + 1)
		return 0;
	memcpy(out, s->dst_mac, 6);
	memcpy(out + 6, s->src_mac, 6);
	put16(out + 12, v6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP);
	return ETH_HLEN + (v6 ? put_ipv6(s, out + ETH_HLEN) : put_ipv4(s, out + ETH_HLEN));
}
