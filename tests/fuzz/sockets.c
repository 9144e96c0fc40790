/* SPDX-License-Identifier: MIT */
/* sockets_decode(): records of the BPF descriptor iterator. */
#include <stdlib.h>
#include <string.h>

#include "kernel/sockets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sockets_found f;
	int r = sockets_decode(data, size, 4000000, &f);

	if (r > 0 && ((size_t)r > size || f.comm[15] || f.s.after_fin > TCP_AFTER_FIN_SEGMENTS ||
		      f.s.state >= TCPS_COUNT))
		abort();
	return 0;
}
