/* SPDX-License-Identifier: MIT */
#include "tcp/segment.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <string.h>

#include "tcp/timeline.h"

#define IPV4_MIN   20
#define IPV6_LEN   40
#define TCP_MIN    20
#define OPT_END    0
#define OPT_NOP    1
#define OPT_WSCALE 3
#define WSCALE_MAX 14 /* RFC 7323 §2.3 */

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* Finds the TCP part of an IPv4 packet. Returns its offset, with `total` the packet's end; 0 where
 * there is none. */
static size_t ipv4(const uint8_t *p, size_t len, size_t *total, struct tcp_segment *s)
{
	size_t head = len >= IPV4_MIN ? (size_t)(p[0] & 0xf) * 4 : 0;

	if (head < IPV4_MIN || p[0] >> 4 != 4 || p[9] != IPPROTO_TCP)
		return 0;
	*total = get16(p + 2);
	if (*total > len || *total < head || (get16(p + 6) & 0x3fff)) /* cut short, or a fragment */
		return 0;
	s->src.family = s->dst.family = AF_INET;
	memcpy(s->src.bytes, p + 12, 4);
	memcpy(s->dst.bytes, p + 16, 4);
	return head;
}

static size_t ipv6(const uint8_t *p, size_t len, size_t *total, struct tcp_segment *s)
{
	if (len < IPV6_LEN || p[0] >> 4 != 6 || p[6] != IPPROTO_TCP)
		return 0;
	*total = IPV6_LEN + (size_t)get16(p + 4);
	if (*total > len)
		return 0;
	s->src.family = s->dst.family = AF_INET6;
	memcpy(s->src.bytes, p + 8, 16);
	memcpy(s->dst.bytes, p + 24, 16);
	return IPV6_LEN;
}

static int8_t window_scale(const uint8_t *opt, size_t len)
{
	size_t i = 0;

	while (i < len && opt[i] != OPT_END) {
		if (opt[i] == OPT_NOP) {
			i++;
			continue;
		}
		if (i + 1 >= len || opt[i + 1] < 2 || i + opt[i + 1] > len)
			break;
		if (opt[i] == OPT_WSCALE && opt[i + 1] == 3)
			return (int8_t)(opt[i + 2] > WSCALE_MAX ? WSCALE_MAX : opt[i + 2]);
		i += opt[i + 1];
	}
	return -1;
}

bool segment_decode(const void *frame, size_t len, struct tcp_segment *out)
{
	const uint8_t *ip = (const uint8_t *)frame + ETH_HLEN, *t;
	struct tcp_segment s = { 0 };
	size_t total = 0, head, tcp_head;

	if (len < ETH_HLEN || len > UINT16_MAX)
		return false;
	switch (get16(ip - 2)) {
	case ETHERTYPE_IP:
		head = ipv4(ip, len - ETH_HLEN, &total, &s);
		break;
	case ETHERTYPE_IPV6:
		head = ipv6(ip, len - ETH_HLEN, &total, &s);
		break;
	default:
		return false;
	}
	if (!head || total - head < TCP_MIN)
		return false;
	t = ip + head;
	tcp_head = (size_t)(t[12] >> 4) * 4;
	if (tcp_head < TCP_MIN || tcp_head > total - head)
		return false;
	s.src.port = get16(t);
	s.dst.port = get16(t + 2);
	s.seq = get32(t + 4);
	s.ack = get32(t + 8);
	s.flags = t[13];
	s.window = get16(t + 14);
	s.wscale = window_scale(t + TCP_MIN, tcp_head - TCP_MIN);
	s.tcp_offset = (uint16_t)(ETH_HLEN + head);
	s.data_offset = (uint16_t)(s.tcp_offset + tcp_head);
	s.len = (uint16_t)(total - head - tcp_head);
	*out = s;
	return true;
}

uint32_t segment_seq_len(const struct tcp_segment *s)
{
	return s->len + !!(s->flags & TL_SYN) + !!(s->flags & TL_FIN);
}
