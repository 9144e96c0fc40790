/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>
#include <time.h>

#define MJD_OF_1970 40587 /* 1970-01-01 as a Modified Julian Date */

/* Days since 1970-01-01 of a civil date, by the proleptic Gregorian calendar. `tm` has a month from
 * 0 to 11; time of day and week day do not count. */
static inline int64_t civil_days(const struct tm *tm)
{
	int64_t y = tm->tm_year + 1900LL, m = tm->tm_mon + 1LL, era, yoe, doy;

	y -= m <= 2; /* years begin in March, so that the leap day ends one */
	era = (y >= 0 ? y : y - 399) / 400;
	yoe = y - era * 400;
	doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + tm->tm_mday - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}
