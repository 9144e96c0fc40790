/* SPDX-License-Identifier: MIT */
/* The reply's text, from a moment that is passed in. Pure: reads no clock and no file, except that
 * the C library knows the time zone (call tzset() first). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/err.h"

/* No reply is longer, line end included. A host takes 576-byte datagrams at least (RFC 1122
 * 3.3.2), so that one of these in UDP is never fragmented. */
#define DAYTIME_TEXT_MAX 256

/* The NIST form tells the time that it will be when the reply has arrived, as far as one number can
 * be right for all ways: this much later than the server's clock. NIST's servers have the same. */
#define DAYTIME_NIST_ADVANCE_MS 50

enum daytime_kind {
	DAYTIME_ASCTIME, /* "Sun Nov 22 11:02:45 2026" */
	DAYTIME_RFC3339, /* "2026-11-22T11:02:45+01:00"; "Z" for UTC */
	DAYTIME_NIST,    /* "\n61366 26-11-22 11:02:45 00 0 0 050.0 UTC(NIST) * " */
	DAYTIME_CUSTOM,  /* strftime(3) */
};

/* Zero-initialised it is asctime in local time, ended by "\n". */
struct daytime_format {
	enum daytime_kind kind;
	bool utc;
	bool crlf;        /* end in "\r\n" */
	char custom[128]; /* strftime() format, for DAYTIME_CUSTOM */
	char label[32];   /* the NIST form's last word; empty: "UTC(NIST)" */
};

/* Everything outside the format that the text depends on. */
struct daytime_moment {
	time_t t;        /* seconds as CLOCK_REALTIME gives them, the form's advance added */
	unsigned leap;   /* NIST's L: 0 none, 1 a second is added at the month's end, 2 taken out */
	unsigned health; /* NIST's H: 0 good, 1 wrong by up to 5 s, 2 by more, 4 unknown */
};

/* Reads --format's argument: a name, or a strftime() format, which must hold a '%'. Returns 0, or
 * -EINVAL with the text in `e`; `f` is untouched on failure. */
int daytime_format_parse(struct daytime_format *f, const char *text, struct err *e);

/* Writes the reply with its line end, and a NUL, into `out` of DAYTIME_TEXT_MAX + 1 bytes. Returns
 * its length, or -ERANGE where the year or the text does not fit. */
int daytime_text(const struct daytime_format *f, const struct daytime_moment *m, char *out);
