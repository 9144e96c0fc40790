/* SPDX-License-Identifier: MIT */
#include "lab/json_bytes.h"

#include <stdlib.h>

json_t *json_from_bytes(const char *bytes, size_t len)
{
	char *utf8 = malloc(2 * len + 1);
	json_t *v;
	size_t n = 0;

	if (!utf8)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		unsigned char b = (unsigned char)bytes[i];

		if (b >= 0x80)
			utf8[n++] = (char)(0xc0 | b >> 6);
		utf8[n++] = (char)(b >= 0x80 ? 0x80 | (b & 0x3f) : b);
	}
	v = json_stringn_nocheck(utf8, n);
	free(utf8);
	return v;
}

char *json_to_bytes(const json_t *v, size_t *len)
{
	const char *utf8 = json_string_value(v);
	size_t n = utf8 ? json_string_length(v) : 0, out = 0;
	char *bytes = utf8 ? malloc(n + 1) : NULL;

	if (!bytes)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		unsigned char b = (unsigned char)utf8[i];

		if (b >= 0x80) { /* jansson has made sure that the UTF-8 is whole */
			if (b > 0xc3 || i + 1 >= n) {
				free(bytes);
				return NULL;
			}
			b = (unsigned char)(b << 6 | ((unsigned char)utf8[++i] & 0x3f));
		}
		bytes[out++] = (char)b;
	}
	bytes[out] = '\0';
	if (len)
		*len = out;
	return bytes;
}
