/* SPDX-License-Identifier: MIT */
/* TCP segments as they stand in Ethernet frames. Pure decoding of a stranger's bytes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcp/addr.h"

/* The longest frame that the wire carries: an MTU of 1500 and the Ethernet header, with room. */
#define SEGMENT_FRAME_MAX 2048

struct tcp_segment {
	struct tcp_addr src, dst;
	uint32_t seq, ack;    /* host byte order, as sent */
	uint16_t window;      /* as sent, not scaled */
	uint8_t flags;        /* TL_FIN ... of tcp/timeline.h: the header's byte 13 */
	int8_t wscale;        /* of the window scale option; -1 where there is none */
	uint16_t len;         /* bytes of data */
	uint16_t tcp_offset;  /* of the TCP header in the frame */
	uint16_t data_offset; /* of the data in the frame */
};

/* Reads an Ethernet frame. Returns true with `out` filled where it holds a whole TCP segment over
 * IPv4 or IPv6, not a fragment; false, with `out` untouched, for everything else. Checksums are not
 * looked at. Extension headers of IPv6 are not followed: the lab's hosts send none. */
bool segment_decode(const void *frame, size_t len, struct tcp_segment *out);

/* The sequence numbers that the segment takes: its data, and one each for SYN and FIN. */
uint32_t segment_seq_len(const struct tcp_segment *s);
