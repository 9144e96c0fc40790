/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "daytime/client.h"
#include "daytime/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct daytime_stamp s = { .seconds = INT64_MIN };
	int r = daytime_parse((const char *)data, size, &s);

	assert(r == 0 || s.seconds == INT64_MIN); /* untouched on failure */
	assert(r < 0 || (s.tm.tm_mon >= 0 && s.tm.tm_mon < 12 && s.tm.tm_mday >= 1));
	client_has_line((const char *)data, size);
	return 0;
}
