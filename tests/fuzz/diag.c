/* SPDX-License-Identifier: MIT */
/* diag_decode(): netlink messages of sock_diag. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "kernel/diag.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tcp_sample s, before;
	void *aligned = malloc(size ? size : 1); /* as netlink buffers are; just this size */
	int r;

	if (!aligned)
		return 0;
	memcpy(aligned, data, size);
	memset(&s, 0x5a, sizeof(s));
	before = s;
	r = diag_decode(aligned, size, &s);
	free(aligned);
	if (r > 1 || r < -4095)
		abort();
	if (r != 1) {
		if (memcmp(&s, &before, sizeof(s)) != 0) /* outputs are untouched on failure */
			abort();
		return 0;
	}
	if (s.state == 0 || s.state >= TCPS_COUNT || s.local.family != s.peer.family ||
	    (s.local.family != AF_INET && s.local.family != AF_INET6))
		abort();
	return 0;
}
