/* SPDX-License-Identifier: MIT */
/* Byte strings in JSON: each byte is carried as the code point of the same number. */
#pragma once

#include <jansson.h>
#include <stddef.h>

/* A new JSON string, or NULL without memory. */
json_t *json_from_bytes(const char *bytes, size_t len);

/* The bytes of a JSON string, NUL-terminated, to be freed; `len` may be NULL. NULL where it is no
 * string, holds a code point above 255, or memory is out. */
char *json_to_bytes(const json_t *v, size_t *len);
