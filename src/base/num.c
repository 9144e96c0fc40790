/* SPDX-License-Identifier: MIT */
#include "base/num.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const int64_t NS_PER_US = 1000;
static const int64_t NS_PER_MS = 1000000;
static const int64_t NS_PER_S = 1000000000;

int num_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (!*text)
		return -EINVAL;
	for (const char *p = text; *p; p++) {
		if (*p < '0' || *p > '9')
			return -EINVAL;
	}
	for (const char *p = text; *p; p++) {
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return -ERANGE;
	}
	if (v < min || v > max)
		return -ERANGE;
	*out = v;
	return 0;
}

int num_port(const char *text, uint16_t *out)
{
	uint64_t v;
	int r = num_u64(text, 0, 65535, &v);

	if (r < 0)
		return r;
	*out = (uint16_t)v;
	return 0;
}

static const struct unit {
	const char *name;
	int64_t ns;
} units[] = {
	{ "ns", 1 },
	{ "us", 1000 },
	{ "ms", 1000000 },
	{ "s", 1000000000 },
	{ "m", 60 * 1000000000LL },
	{ "h", 3600 * 1000000000LL },
	{ "d", 86400 * 1000000000LL },
};

static int64_t unit_ns(const char *name)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(units[i].name, name))
			return units[i].ns;
	return 0;
}

int num_duration(const char *text, int64_t *ns)
{
	const char *p = text;
	int64_t whole = 0, unit, frac = 0, scale = 1, total, part;
	bool digits = false, range = false;

	for (; *p >= '0' && *p <= '9'; p++, digits = true)
		range |= __builtin_mul_overflow(whole, 10, &whole) ||
			 __builtin_add_overflow(whole, *p - '0', &whole);
	if (*p == '.') {
		for (p++; *p >= '0' && *p <= '9'; p++, digits = true) {
			if (scale >= NS_PER_S) /* finer than a nanosecond of a second: no effect */
				continue;
			frac = frac * 10 + (*p - '0');
			scale *= 10;
		}
	}
	if (!digits)
		return -EINVAL;
	if (!*p && whole == 0 && frac == 0) {
		*ns = 0;
		return 0;
	}
	unit = unit_ns(p);
	if (!unit)
		return -EINVAL;
	part = (int64_t)((__int128)frac * unit / scale);
	if (range || __builtin_mul_overflow(whole, unit, &total) ||
	    __builtin_add_overflow(total, part, &total))
		return -ERANGE;
	*ns = total;
	return 0;
}

/* "1.5 s", "250 ms": one decimal, and none where it would be a zero. */
static void fraction_text(int64_t ns, int64_t unit, const char *name, char *buf, unsigned cap)
{
	int64_t tenths = (ns * 10) / unit;

	if (tenths % 10 == 0 || tenths >= 1000)
		snprintf(buf, cap, "%" PRId64 " %s", tenths / 10, name);
	else
		snprintf(buf, cap, "%" PRId64 ".%" PRId64 " %s", tenths / 10, tenths % 10, name);
}

static void pair_text(int64_t s, int64_t big, const char *big_name, int64_t small,
		      const char *small_name, char *buf, unsigned cap)
{
	if (s % big / small)
		snprintf(buf, cap, "%" PRId64 " %s %" PRId64 " %s", s / big, big_name,
			 s % big / small, small_name);
	else
		snprintf(buf, cap, "%" PRId64 " %s", s / big, big_name);
}

char *num_duration_text(int64_t ns, char *buf, unsigned cap)
{
	int64_t s = ns / NS_PER_S;

	if (ns < NS_PER_US)
		snprintf(buf, cap, "%" PRId64 " ns", ns);
	else if (ns < NS_PER_MS)
		fraction_text(ns, NS_PER_US, "us", buf, cap);
	else if (ns < NS_PER_S)
		fraction_text(ns, NS_PER_MS, "ms", buf, cap);
	else if (s < 120)
		fraction_text(ns, NS_PER_S, "s", buf, cap);
	else if (s < 7200)
		pair_text(s, 60, "m", 1, "s", buf, cap);
	else if (s < 172800)
		pair_text(s, 3600, "h", 60, "m", buf, cap);
	else
		pair_text(s, 86400, "d", 3600, "h", buf, cap);
	return buf;
}
