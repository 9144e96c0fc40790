/* SPDX-License-Identifier: MIT */
#include <stdint.h>
#include <string.h>

#include "kernel/demangle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__asan_default_options(void);

/* demangle.c says of what. */
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char symbol[DEMANGLE_MAX + 64], name[40];

	if (size >= sizeof(symbol))
		return 0;
	memcpy(symbol, data, size);
	symbol[size] = '\0';
	memset(name, 0x55, sizeof(name));
	demangle(symbol, name, sizeof(name) - 8);
	if (strlen(name) >= sizeof(name) - 8 || name[sizeof(name) - 8] != 0x55)
		__builtin_trap();
	return 0;
}
