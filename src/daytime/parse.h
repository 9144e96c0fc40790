/* SPDX-License-Identifier: MIT */
/* What time a daytime server's reply says. RFC 867 leaves the form open; these are the ones in use.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum daytime_zone {
	DAYTIME_ZONE_UNKNOWN, /* the reply does not say: local time of the server */
	DAYTIME_ZONE_KNOWN,   /* the reply says how far from UTC it is */
	DAYTIME_ZONE_NAMED,   /* the reply names a zone, and a name does not say how far that is */
};

struct daytime_stamp {
	enum daytime_zone zone;
	char name[16];      /* of DAYTIME_ZONE_NAMED */
	int64_t seconds;    /* since 1970 in UTC; where the zone is not known, as if it were UTC */
	int32_t advance_us; /* how much later than when it was sent the reply means to be read */
	struct tm tm;       /* the fields as written, for mktime() where the zone is not known */
};

/* Reads the time from a reply, a stranger's: asctime's form, RFC 3339's, NIST's, and xinetd's
 * ("22 NOV 2026 11:02:45 UTC"), with line ends before and after. Pure. Returns 0, or -EINVAL where
 * it is none of these or the time is none, with `out` untouched. */
int daytime_parse(const char *bytes, size_t len, struct daytime_stamp *out);
