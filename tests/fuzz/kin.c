/* SPDX-License-Identifier: MIT */
/* What a release believes of its surroundings: session_decode_stat(), session_decode_ssh() and
 * destroy_decode(). */
#include <stdlib.h>
#include <string.h>

#include "kernel/destroy.h"
#include "kernel/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ssh(const uint8_t *data, size_t size)
{
	struct tcp_addr client, server;
	char *text = malloc(size + 1);

	if (!text)
		return;
	memcpy(text, data, size);
	text[size] = '\0';
	if (session_decode_ssh(text, &client, &server) == 0 && (!client.family || !server.family))
		abort();
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct session_stat s = { .session = -77 };
	int result = 1;
	void *message = malloc(size ? size : 1); /* aligned as a receive buffer is */

	if (session_decode_stat((const char *)data, size, &s) < 0 && s.session != -77)
		abort();
	if (size)
		ssh(data, size);
	if (message && size)
		memcpy(message, data, size);
	if (message && destroy_decode(message, size, 7, &result) != 1 && result != 1)
		abort();
	if (result > 1 || result < -4095)
		abort();
	free(message);
	return 0;
}
