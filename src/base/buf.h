/* SPDX-License-Identifier: MIT */
/* A growing byte buffer. An allocation that fails makes it `failed`, and later additions do
 * nothing: check once, at the end. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct buf {
	char *data; /* NUL-terminated whenever not NULL; the NUL is not counted */
	size_t len;
	size_t cap;
	bool failed;
};

/* Adds bytes, a string, or formatted text. */
void buf_add(struct buf *b, const void *data, size_t len);
void buf_str(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Adds `count` times the character. */
void buf_fill(struct buf *b, char c, size_t count);

/* Frees the bytes and makes the buffer empty and usable again. */
void buf_free(struct buf *b);

#define _buf_ __attribute__((cleanup(buf_free)))
