/* SPDX-License-Identifier: MIT */
#include "daytime/format.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daytime/calendar.h"

static const int SECONDS_PER_HOUR = 3600;

static const struct {
	const char *name;
	enum daytime_kind kind;
} kinds[] = {
	{ "asctime", DAYTIME_ASCTIME },
	{ "rfc3339", DAYTIME_RFC3339 },
	{ "nist", DAYTIME_NIST },
};

int daytime_format_parse(struct daytime_format *f, const char *text, struct err *e)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!strcmp(kinds[i].name, text)) {
			f->kind = kinds[i].kind;
			return 0;
		}
	}
	if (!strchr(text, '%'))
		return err_set(e, -EINVAL,
			       "format '%s' is neither asctime, rfc3339, nist nor a strftime "
			       "format, which has a '%%'",
			       text);
	if (strlen(text) >= sizeof(f->custom))
		return err_set(e, -EINVAL, "the format is longer than %zu bytes",
			       sizeof(f->custom) - 1);
	f->kind = DAYTIME_CUSTOM;
	strcpy(f->custom, text);
	return 0;
}

/* The Modified Julian Date. Taken from the broken-down time and not from the seconds: where the C
 * library's zone counts leap seconds ("right/..."), only that is UTC. */
static long mjd(const struct tm *tm)
{
	return (long)civil_days(tm) + MJD_OF_1970;
}

/* NIST's TT: 00 in standard time and 50 in daylight saving time; in the month of a change the days
 * until it, counting today, plus 50 where the change is to daylight saving time. */
static unsigned dst_countdown(time_t t)
{
	struct tm now, later;
	bool dst;

	if (!localtime_r(&t, &now))
		return 0;
	dst = now.tm_isdst > 0;
	for (int h = 1; h <= 31 * 24; h++) {
		time_t u = t + (time_t)h * SECONDS_PER_HOUR;

		if (!localtime_r(&u, &later) || later.tm_mon != now.tm_mon)
			break;
		if ((later.tm_isdst > 0) != dst)
			return (unsigned)(later.tm_mday - now.tm_mday + 1) + (dst ? 0 : 50);
	}
	return dst ? 50 : 0;
}

/* https://www.nist.gov/pml/time-and-frequency-division/time-distribution/internet-time-service-its
 * "Daytime Protocol". The form starts with a line end and has a blank before the last one. */
static int nist_text(const struct daytime_format *f, const struct daytime_moment *m, char *out,
		     size_t cap)
{
	struct tm tm;

	if (!gmtime_r(&m->t, &tm))
		return -ERANGE;
	return snprintf(out, cap, "\n%05ld %02d-%02d-%02d %02d:%02d:%02d %02u %u %u %03d.0 %s * ",
			mjd(&tm), (tm.tm_year % 100 + 100) % 100, tm.tm_mon + 1, tm.tm_mday,
			tm.tm_hour, tm.tm_min, tm.tm_sec, dst_countdown(m->t), m->leap, m->health,
			DAYTIME_NIST_ADVANCE_MS, f->label[0] ? f->label : "UTC(NIST)");
}

/* asctime_r() refuses years beyond 9999 and promises only 26 bytes; this says the same. */
static int asctime_text(const struct tm *tm, char *out, size_t cap)
{
	static const char days[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

	return snprintf(out, cap, "%s %s%3d %.2d:%.2d:%.2d %ld", days[tm->tm_wday],
			months[tm->tm_mon], tm->tm_mday, tm->tm_hour, tm->tm_min, tm->tm_sec,
			1900L + tm->tm_year);
}

static int rfc3339_text(const struct tm *tm, bool utc, char *out, size_t cap)
{
	long minutes = tm->tm_gmtoff / 60;
	int n;

	if (tm->tm_year < -1900 || tm->tm_year > 9999 - 1900)
		return -ERANGE;
	n = snprintf(out, cap, "%04d-%02d-%02dT%02d:%02d:%02d", tm->tm_year + 1900, tm->tm_mon + 1,
		     tm->tm_mday, tm->tm_hour, tm->tm_min, tm->tm_sec);
	if (utc)
		return n + snprintf(out + n, cap - (size_t)n, "Z");
	return n + snprintf(out + n, cap - (size_t)n, "%c%02ld:%02ld", minutes < 0 ? '-' : '+',
			    (minutes < 0 ? -minutes : minutes) / 60,
			    (minutes < 0 ? -minutes : minutes) % 60);
}

static int custom_text(const struct daytime_format *f, const struct tm *tm, char *out, size_t cap)
{
	size_t n;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the operator's own format */
	n = strftime(out, cap, f->custom, tm);
#pragma GCC diagnostic pop
	return n ? (int)n : -ERANGE;
}

int daytime_text(const struct daytime_format *f, const struct daytime_moment *m, char *out)
{
	char text[DAYTIME_TEXT_MAX - 1]; /* room for "\r\n" and the NUL stays */
	struct tm tm;
	int n;

	if (!(f->utc ? gmtime_r(&m->t, &tm) : localtime_r(&m->t, &tm)))
		return -ERANGE;
	switch (f->kind) {
	case DAYTIME_RFC3339:
		n = rfc3339_text(&tm, f->utc, text, sizeof(text));
		break;
	case DAYTIME_NIST:
		n = nist_text(f, m, text, sizeof(text));
		break;
	case DAYTIME_CUSTOM:
		n = custom_text(f, &tm, text, sizeof(text));
		break;
	default:
		n = asctime_text(&tm, text, sizeof(text));
		break;
	}
	if (n < 0 || n >= (int)sizeof(text))
		return -ERANGE;
	memcpy(out, text, (size_t)n);
	strcpy(out + n, f->crlf ? "\r\n" : "\n");
	return n + (f->crlf ? 2 : 1);
}
