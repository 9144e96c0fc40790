/* SPDX-License-Identifier: MIT */
/* Makes TCP segments that no host sent. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "tcp/addr.h"

/* Data that a made-up segment may hold: it fits any MTU. */
#define FORGE_DATA_MAX 1024

struct forge_segment {
	struct tcp_addr src, dst;
	uint8_t src_mac[6], dst_mac[6];
	uint8_t flags;
	uint32_t seq, ack; /* host byte order, as on the wire */
	uint16_t len;      /* bytes of data, all 'x'; FORGE_DATA_MAX at most */
};

/* Writes an Ethernet frame with one TCP segment, checksums right (RFC 9293 §3.1, RFC 1071).
 * Returns its length, 0 where `cap` is too small or the families differ. */
size_t forge_frame(const struct forge_segment *s, uint8_t *out, size_t cap);
