/* SPDX-License-Identifier: MIT */
#include <stdint.h>
#include <string.h>

#include "kernel/perfmap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first eight bytes are the address that is looked for. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t address, start = 0;
	char name[16];

	if (size < sizeof(address))
		return 0;
	memcpy(&address, data, sizeof(address));
	if (perfmap_find((const char *)data + sizeof(address), size - sizeof(address), address,
			 name, sizeof(name), &start) &&
	    (start > address || strlen(name) >= sizeof(name)))
		__builtin_trap();
	return 0;
}
