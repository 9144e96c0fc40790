/* SPDX-License-Identifier: MIT */
#include "daytime/parse.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "daytime/calendar.h"

/* What is left of the text. Every reader moves on only where it succeeds. */
struct cursor {
	const char *p, *end;
};

static bool literal(struct cursor *c, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(c->end - c->p) < n || strncmp(c->p, word, n))
		return false;
	c->p += n;
	return true;
}

/* A number of exactly `digits` digits from `min` to `max`. */
static bool number(struct cursor *c, int digits, int min, int max, int *out)
{
	int v = 0;

	if (c->end - c->p < digits)
		return false;
	for (int i = 0; i < digits; i++) {
		if (c->p[i] < '0' || c->p[i] > '9')
			return false;
		v = v * 10 + (c->p[i] - '0');
	}
	if (v < min || v > max)
		return false;
	c->p += digits;
	*out = v;
	return true;
}

/* One of the three-letter names, in any case; its index. */
static bool name(struct cursor *c, const char *const *names, int count, int *out)
{
	if (c->end - c->p < 3)
		return false;
	for (int i = 0; i < count; i++) {
		bool same = true;

		for (int k = 0; k < 3; k++)
			same &= tolower((unsigned char)c->p[k]) ==
				tolower((unsigned char)names[i][k]);
		if (same) {
			c->p += 3;
			*out = i;
			return true;
		}
	}
	return false;
}

static bool month(struct cursor *c, int *out)
{
	static const char *const names[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

	return name(c, names, 12, out);
}

static bool weekday(struct cursor *c, int *out)
{
	static const char *const names[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };

	return name(c, names, 7, out);
}

/* HH:MM:SS; a leap second is written 60. */
static bool clock_time(struct cursor *c, struct tm *tm)
{
	return number(c, 2, 0, 23, &tm->tm_hour) && literal(c, ":") &&
	       number(c, 2, 0, 59, &tm->tm_min) && literal(c, ":") &&
	       number(c, 2, 0, 60, &tm->tm_sec);
}

static bool year(struct cursor *c, struct tm *tm)
{
	if (!number(c, 4, 0, 9999, &tm->tm_year))
		return false;
	tm->tm_year -= 1900;
	return true;
}

/* A day of the month: two places, the first of which may be a blank. */
static bool day(struct cursor *c, struct tm *tm)
{
	if (literal(c, " "))
		return number(c, 1, 1, 9, &tm->tm_mday);
	return number(c, 2, 1, 31, &tm->tm_mday);
}

/* "Sun Nov 22 11:02:45 2026" */
static bool asctime_form(struct cursor c, struct daytime_stamp *s)
{
	return weekday(&c, &s->tm.tm_wday) && literal(&c, " ") && month(&c, &s->tm.tm_mon) &&
	       literal(&c, " ") && day(&c, &s->tm) && literal(&c, " ") && clock_time(&c, &s->tm) &&
	       literal(&c, " ") && year(&c, &s->tm) && c.p == c.end;
}

/* A zone's name, the last word. */
static bool zone_name(struct cursor *c, struct daytime_stamp *s)
{
	size_t n = 0;

	while (c->p + n < c->end && isalpha((unsigned char)c->p[n]))
		n++;
	if (n == 0 || n >= sizeof(s->name) || c->p + n != c->end)
		return false;
	memcpy(s->name, c->p, n);
	s->name[n] = '\0';
	c->p += n;
	if (!strcmp(s->name, "UTC") || !strcmp(s->name, "GMT"))
		s->zone = DAYTIME_ZONE_KNOWN;
	else
		s->zone = DAYTIME_ZONE_NAMED;
	return true;
}

/* "22 NOV 2026 11:02:45 UTC" */
static bool xinetd_form(struct cursor c, struct daytime_stamp *s)
{
	return day(&c, &s->tm) && literal(&c, " ") && month(&c, &s->tm.tm_mon) &&
	       literal(&c, " ") && year(&c, &s->tm) && literal(&c, " ") && clock_time(&c, &s->tm) &&
	       literal(&c, " ") && zone_name(&c, s);
}

/* "Z" or "+01:00", as seconds east of UTC. */
static bool rfc3339_zone(struct cursor *c, int *east)
{
	int hours, minutes, sign = 1;

	*east = 0;
	if (literal(c, "Z") || literal(c, "z"))
		return true;
	if (literal(c, "-"))
		sign = -1;
	else if (!literal(c, "+"))
		return false;
	if (!number(c, 2, 0, 23, &hours) || !literal(c, ":") || !number(c, 2, 0, 59, &minutes))
		return false;
	*east = sign * (hours * 3600 + minutes * 60);
	return true;
}

/* "2026-11-22T11:02:45.5+01:00"; fractions of a second are passed over. */
static bool rfc3339_form(struct cursor c, struct daytime_stamp *s, int *east)
{
	if (!year(&c, &s->tm) || !literal(&c, "-") || !number(&c, 2, 1, 12, &s->tm.tm_mon) ||
	    !literal(&c, "-") || !number(&c, 2, 1, 31, &s->tm.tm_mday))
		return false;
	s->tm.tm_mon--;
	if (!literal(&c, "T") && !literal(&c, "t") && !literal(&c, " "))
		return false;
	if (!clock_time(&c, &s->tm))
		return false;
	if (literal(&c, "."))
		while (c.p < c.end && *c.p >= '0' && *c.p <= '9')
			c.p++;
	s->zone = DAYTIME_ZONE_KNOWN;
	return rfc3339_zone(&c, east) && c.p == c.end;
}

/* Puts the century before a year of two digits, as the Modified Julian Date has it. False where no
 * century makes the two agree. */
static bool take_century(struct tm *tm, int mjd)
{
	int digits = tm->tm_year;

	for (int century = 0; century <= 200; century += 100) { /* 99999 is in 2132 */
		tm->tm_year = digits + century;
		if (civil_days(tm) + MJD_OF_1970 == mjd)
			return true;
	}
	return false;
}

/* "61366 26-11-22 11:02:45 00 0 0 050.0 UTC(NIST) * " */
static bool nist_form(struct cursor c, struct daytime_stamp *s)
{
	int mjd, skip, ms, tenths;

	if (!number(&c, 5, MJD_OF_1970, 99999, &mjd) || !literal(&c, " ") ||
	    !number(&c, 2, 0, 99, &s->tm.tm_year) || !literal(&c, "-") ||
	    !number(&c, 2, 1, 12, &s->tm.tm_mon) || !literal(&c, "-") ||
	    !number(&c, 2, 1, 31, &s->tm.tm_mday) || !literal(&c, " ") || !clock_time(&c, &s->tm) ||
	    !literal(&c, " ") || !number(&c, 2, 0, 99, &skip) || !literal(&c, " ") ||
	    !number(&c, 1, 0, 9, &skip) || !literal(&c, " ") || !number(&c, 1, 0, 9, &skip) ||
	    !literal(&c, " ") || !number(&c, 3, 0, 999, &ms) || !literal(&c, ".") ||
	    !number(&c, 1, 0, 9, &tenths) || !literal(&c, " "))
		return false;
	s->tm.tm_mon--;
	s->zone = DAYTIME_ZONE_KNOWN;
	s->advance_us = ms * 1000 + tenths * 100;
	return take_century(&s->tm, mjd);
}

static bool day_exists(const struct tm *tm)
{
	static const int days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int y = tm->tm_year + 1900;
	bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;

	return tm->tm_mday <= days[tm->tm_mon] && (tm->tm_mon != 1 || tm->tm_mday < 29 || leap);
}

static bool is_blank(char c)
{
	return c == '\r' || c == '\n' || c == ' ';
}

int daytime_parse(const char *bytes, size_t len, struct daytime_stamp *out)
{
	static const struct daytime_stamp empty = { .tm = { .tm_isdst = -1 } };
	struct cursor c = { bytes, bytes + len };
	struct daytime_stamp s = empty;
	int east = 0;
	bool ok;

	while (c.p < c.end && (c.p[0] == '\r' || c.p[0] == '\n'))
		c.p++;
	for (const char *p = c.p; p < c.end; p++) /* the first line that is not empty */
		if (*p == '\n')
			c.end = p;
	while (c.end > c.p && is_blank(c.end[-1]))
		c.end--;
	ok = asctime_form(c, &s);
	if (!ok) {
		s = empty;
		ok = xinetd_form(c, &s);
	}
	if (!ok) {
		s = empty;
		ok = rfc3339_form(c, &s, &east);
	}
	if (!ok) {
		s = empty;
		east = 0;
		ok = nist_form(c, &s);
	}
	if (!ok || !day_exists(&s.tm))
		return -EINVAL;
	s.seconds = civil_days(&s.tm) * 86400 + s.tm.tm_hour * 3600L + s.tm.tm_min * 60L +
		    s.tm.tm_sec - east;
	*out = s;
	return 0;
}
