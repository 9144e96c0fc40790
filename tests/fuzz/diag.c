/* SPDX-License-Identifier: MIT */
/* diag_decode() and diag_decode_mptcp(): netlink messages of sock_diag. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "kernel/diag.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const uint8_t *data, size_t size,
		  int (*decode)(const void *, size_t, struct tcp_sample *))
{
	struct tcp_sample s, before;
	void *aligned = malloc(size ? size : 1); /* as netlink buffers are; just this size */
	int r;

	if (!aligned)
		return;
	memcpy(aligned, data, size);
	memset(&s, 0x5a, sizeof(s));
	before = s;
	r = decode(aligned, size, &s);
	free(aligned);
	if (r > 1 || r < -4095)
		abort();
	if (r != 1) {
		if (memcmp(&s, &before, sizeof(s)) != 0) /* outputs are untouched on failure */
			abort();
		return;
	}
	if (s.state == 0 || s.state >= TCPS_COUNT || s.local.family != s.peer.family ||
	    (s.local.family != AF_INET && s.local.family != AF_INET6))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check(data, size, diag_decode);
	check(data, size, diag_decode_mptcp);
	return 0;
}
