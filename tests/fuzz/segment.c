/* SPDX-License-Identifier: MIT */
/* segment_decode(): frames off the wire. */
#include <stdlib.h>

#include "tcp/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tcp_segment s;

	if (!segment_decode(data, size, &s))
		return 0;
	/* What was accepted lies inside the frame. */
	if (s.tcp_offset + 20u > s.data_offset || (size_t)s.data_offset + s.len > size)
		abort();
	if (s.wscale < -1 || s.wscale > 14 || segment_seq_len(&s) > s.len + 2u)
		abort();
	return 0;
}
