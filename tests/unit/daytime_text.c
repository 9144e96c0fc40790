/* SPDX-License-Identifier: MIT */
/* The reply's text under a clock that the test sets, and the client's reading of it. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timex.h>
#include <time.h>

#include "daytime/calendar.h"
#include "daytime/client.h"
#include "daytime/connect.h"
#include "daytime/format.h"
#include "daytime/parse.h"
#include "daytime/serve.h"

static void zone(const char *tz)
{
	setenv("TZ", tz, 1);
	tzset();
}

static const char *text(const struct daytime_format *f, time_t t)
{
	static char out[DAYTIME_TEXT_MAX + 1];
	struct daytime_moment m = { .t = t };
	int n = daytime_text(f, &m, out);

	if (n < 0)
		return "none";
	assert_int_equal(n, strlen(out));
	return out;
}

static void asctime_is_the_c_librarys(void **state)
{
	static const time_t moments[] = { 0,          1795345365,          951782399,
					  2147483647, 2147483648,          4102444800,
					  -1,         -86400 * 365L * 500, 253402300799 };
	struct daytime_format f = { 0 };
	struct tm tm;

	zone("UTC");
	for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++)
		assert_string_equal(text(&f, moments[i]), asctime(gmtime_r(&moments[i], &tm)));
	assert_string_equal(text(&f, 1795345365), "Sun Nov 22 11:02:45 2026\n");
	assert_string_equal(text(&f, 2147483648), "Tue Jan 19 03:14:08 2038\n");
	f.crlf = true;
	assert_string_equal(text(&f, 0), "Thu Jan  1 00:00:00 1970\r\n");
	assert_string_equal(text(&f, INT64_MAX), "none");
}

static void local_time_follows_the_zone(void **state)
{
	struct daytime_format f = { 0 };

	zone("America/New_York"); /* 2026-03-08 07:00 UTC: 2 o'clock becomes 3 */
	assert_string_equal(text(&f, 1772953199), "Sun Mar  8 01:59:59 2026\n");
	assert_string_equal(text(&f, 1772953200), "Sun Mar  8 03:00:00 2026\n");
	f.kind = DAYTIME_RFC3339;
	assert_string_equal(text(&f, 1772953199), "2026-03-08T01:59:59-05:00\n");
	assert_string_equal(text(&f, 1772953200), "2026-03-08T03:00:00-04:00\n");
	f.utc = true;
	assert_string_equal(text(&f, 1772953200), "2026-03-08T07:00:00Z\n");
	zone("Asia/Kolkata");
	f.utc = false;
	assert_string_equal(text(&f, 2147483648), "2038-01-19T08:44:08+05:30\n");
	assert_string_equal(text(&f, 253402300800), "none"); /* the year 10000 has no such form */
}

static void days_are_counted_in_any_year(void **state)
{
	struct tm tm = { .tm_year = 0 - 1900, .tm_mon = 2, .tm_mday = 1 };

	assert_int_equal(civil_days(&tm), -719468);
	tm.tm_year -= 400;
	assert_int_equal(civil_days(&tm), -719468 - 146097);
	tm = (struct tm){ .tm_year = 70, .tm_mon = 0, .tm_mday = 1 };
	assert_int_equal(civil_days(&tm), 0);
}

static void formats_are_read(void **state)
{
	struct daytime_format f = { 0 };
	struct err e = { 0 };
	char longer[200];

	zone("UTC");
	assert_int_equal(daytime_format_parse(&f, "nist", &e), 0);
	assert_int_equal(f.kind, DAYTIME_NIST);
	assert_int_equal(daytime_format_parse(&f, "rfc3339", &e), 0);
	assert_int_equal(f.kind, DAYTIME_RFC3339);
	assert_int_equal(daytime_format_parse(&f, "asctime", &e), 0);
	assert_int_equal(f.kind, DAYTIME_ASCTIME);
	assert_int_equal(daytime_format_parse(&f, "asctme", &e), -EINVAL);
	assert_int_equal(f.kind, DAYTIME_ASCTIME);
	memset(longer, '%', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(daytime_format_parse(&f, longer, &e), -EINVAL);
	assert_int_equal(daytime_format_parse(&f, "week %V of %G", &e), 0);
	assert_string_equal(text(&f, 1795345365), "week 47 of 2026\n");
	assert_int_equal(daytime_format_parse(&f, "%1000d", &e), 0);
	assert_string_equal(text(&f, 0), "none"); /* longer than a reply may be */
}

/* What a form cannot say is not said: years of more than four digits, and times beyond any year. */
static void times_out_of_range_have_no_text(void **state)
{
	struct daytime_format f = { .kind = DAYTIME_RFC3339, .utc = true };

	zone("UTC");
	assert_string_equal(text(&f, 253402300799), "9999-12-31T23:59:59Z\n");
	assert_string_equal(text(&f, 253402300800), "none");
	assert_string_equal(text(&f, -62167219200), "0000-01-01T00:00:00Z\n");
	assert_string_equal(text(&f, -62167219201), "none");
	f.kind = DAYTIME_NIST;
	assert_string_equal(text(&f, INT64_MAX), "none");
	f.kind = DAYTIME_ASCTIME;
	assert_string_equal(text(&f, 253402300800), "Sat Jan  1 00:00:00 10000\n");
	assert_string_equal(text(&f, INT64_MAX), "none");
}

static void nist_is_to_the_letter(void **state)
{
	struct daytime_format f = { .kind = DAYTIME_NIST };
	struct daytime_moment m = { .t = 1795345365, .leap = 1, .health = 4 };
	char out[DAYTIME_TEXT_MAX + 1];

	zone("UTC");
	assert_string_equal(text(&f, 1795345365),
			    "\n61366 26-11-22 11:02:45 00 0 0 050.0 UTC(NIST) * \n");
	assert_int_equal(daytime_text(&f, &m, out), 51);
	assert_string_equal(out, "\n61366 26-11-22 11:02:45 00 1 4 050.0 UTC(NIST) * \n");
	strcpy(f.label, "UTC(LAB)");
	assert_string_equal(text(&f, 2147483648),
			    "\n65442 38-01-19 03:14:08 00 0 0 050.0 UTC(LAB) * \n");
	assert_string_equal(text(&f, 0), "\n40587 70-01-01 00:00:00 00 0 0 050.0 UTC(LAB) * \n");
}

/* The two digits of TT, at a moment. */
static void assert_countdown(time_t t, const char *digits)
{
	struct daytime_format f = { .kind = DAYTIME_NIST };

	assert_memory_equal(text(&f, t) + 1 + strlen("61366 26-11-22 11:02:45 "), digits, 2);
}

static void dst_counts_down(void **state)
{
	zone("America/New_York");
	assert_countdown(1771000000, "00"); /* 2026-02-13 */
	assert_countdown(1772348400, "58"); /* 2026-03-01 02:00 EST: changes on the 8th */
	assert_countdown(1772867000, "52"); /* 2026-03-07 */
	assert_countdown(1772953199, "51"); /* the last second of standard time */
	assert_countdown(1772953200, "50"); /* the first of daylight saving time */
	assert_countdown(1793400000, "50"); /* 2026-10-30 */
	assert_countdown(1793512799, "01"); /* 2026-11-01 01:59:59, the last of it */
	assert_countdown(1793512800, "00"); /* 01:00:00 again */
	zone("Asia/Seoul");
	assert_countdown(1772348400, "00"); /* no daylight saving time */
}

static void leap_seconds_of_a_right_zone_are_told(void **state)
{
	struct daytime_format f = { .utc = true, .kind = DAYTIME_RFC3339 };

	zone("right/UTC"); /* counts leap seconds: tzdata has it as a file */
	if (!strcmp(text(&f, 1483228826), "2017-01-01T00:00:26Z\n")) {
		print_message("no leap seconds in this system's zones\n");
		zone("UTC");
		return;
	}
	assert_string_equal(text(&f, 1483228826), "2016-12-31T23:59:60Z\n");
	assert_string_equal(text(&f, 1483228827), "2017-01-01T00:00:00Z\n");
	f.kind = DAYTIME_NIST;
	assert_string_equal(text(&f, 1483228826),
			    "\n57753 16-12-31 23:59:60 00 0 0 050.0 UTC(NIST) * \n");
	zone("UTC");
}

static time_t clock_says;
static long clock_says_ns;
static unsigned clock_read;

static struct timespec test_clock(void)
{
	clock_read++;
	return (struct timespec){ clock_says, clock_says_ns };
}

/* The server's text, made when the second changes, whichever way. */
static void the_text_follows_the_clock(void **state)
{
	static struct server s;
	static const struct server_config c = { .clock = test_clock, .health = 0 };

	zone("Europe/Berlin");
	s.config = &c;
	clock_says = 1795345365;
	serve_refresh_text(&s);
	assert_string_equal(s.text, "Sun Nov 22 12:02:45 2026\n");
	strcpy(s.text, "not made again");
	serve_refresh_text(&s);
	assert_string_equal(s.text, "not made again"); /* within the same second */
	clock_says--;
	serve_refresh_text(&s); /* a step back */
	assert_string_equal(s.text, "Sun Nov 22 12:02:44 2026\n");
	clock_says += 86400 * 365;
	serve_refresh_text(&s); /* and forth */
	assert_string_equal(s.text, "Mon Nov 22 12:02:44 2027\n");
	clock_says = 1774745999;
	serve_refresh_text(&s);
	assert_string_equal(s.text, "Sun Mar 29 01:59:59 2026\n");
	clock_says++;
	serve_refresh_text(&s);
	assert_string_equal(s.text, "Sun Mar 29 03:00:00 2026\n");
	clock_says = INT64_MAX; /* a year that is none: the last text stays */
	serve_refresh_text(&s);
	assert_string_equal(s.text, "Sun Mar 29 03:00:00 2026\n");
	assert_int_equal(clock_read, 7);
}

/* The NIST form is 50 ms ahead of the clock, as it says itself; no other is. The client that reads
 * it takes that off again. */
static void the_nist_form_is_advanced_as_it_says(void **state)
{
	static struct server s;
	struct server_config c = { .clock = test_clock,
				   .health = 0,
				   .format = { .kind = DAYTIME_NIST } };
	struct client_reply r = { .asked_ns = 1795345365950000000LL,
				  .got_ns = 1795345365950000000LL };
	int64_t ahead, margin;

	zone("UTC");
	s.config = &c;
	clock_says = 1795345365;
	clock_says_ns = 949999999;
	serve_refresh_text(&s);
	assert_string_equal(s.text, "\n61366 26-11-22 11:02:45 00 0 0 050.0 UTC(NIST) * \n");
	clock_says_ns++;
	serve_refresh_text(&s);
	assert_string_equal(s.text, "\n61366 26-11-22 11:02:46 00 0 0 050.0 UTC(NIST) * \n");
	buf_str(&r.bytes, s.text);
	assert_int_equal(client_offset(&r, &ahead, &margin), 0);
	assert_int_equal(ahead - margin,
			 0); /* the clock is right: at the very begin of its second */
	buf_free(&r.bytes);
	c.format.kind = DAYTIME_RFC3339;
	serve_refresh_text(&s);
	assert_string_equal(s.text, "2026-11-22T11:02:45+00:00\n");
	clock_says_ns = 0;
}

static void the_health_is_the_clocks(void **state)
{
	static struct server s;
	struct server_config c = { .clock = test_clock,
				   .health = 2,
				   .format = { .kind = DAYTIME_NIST } };
	struct timex tx = { 0 };
	bool synchronised = adjtimex(&tx) != TIME_ERROR;

	zone("UTC");
	s.config = &c;
	clock_says = 1795345365;
	serve_refresh_text(&s);
	assert_int_equal(s.moment.health, 2);
	c.health = -1;
	clock_says++;
	serve_refresh_text(&s);
	assert_int_equal(s.moment.health == 4, !synchronised || tx.maxerror >= 5000000);
}

static void assert_stamp(const char *reply, enum daytime_zone zone_is, int64_t seconds)
{
	struct daytime_stamp s;

	assert_int_equal(daytime_parse(reply, strlen(reply), &s), 0);
	assert_int_equal(s.zone, zone_is);
	assert_int_equal(s.seconds, seconds);
}

static void replies_are_read(void **state)
{
	assert_stamp("Sun Nov 22 11:02:45 2026\n", DAYTIME_ZONE_UNKNOWN, 1795345365);
	assert_stamp("Thu Jan  1 00:00:00 1970\r\n", DAYTIME_ZONE_UNKNOWN, 0);
	assert_stamp("22 NOV 2026 11:02:45 UTC\r\n", DAYTIME_ZONE_KNOWN, 1795345365);
	assert_stamp("22 NOV 2026 11:02:45 GMT\r\n", DAYTIME_ZONE_KNOWN, 1795345365);
	assert_stamp("22 NOV 2026 11:02:45 KST\r\n", DAYTIME_ZONE_NAMED, 1795345365);
	assert_stamp("22 NOV 2026 11:02:45 UTCX\r\n", DAYTIME_ZONE_NAMED, 1795345365);
	assert_stamp("2026-11-22T12:02:45+01:00\n", DAYTIME_ZONE_KNOWN, 1795345365);
	assert_stamp("2026-11-22 06:02:45.75-05:00\n", DAYTIME_ZONE_KNOWN, 1795345365);
	assert_stamp("2026-11-22T11:02:45Z", DAYTIME_ZONE_KNOWN, 1795345365);
	assert_stamp("2026-11-22t11:02:45z", DAYTIME_ZONE_KNOWN, 1795345365);
	assert_stamp("2000-02-29T00:00:00Z", DAYTIME_ZONE_KNOWN, 951782400);
	assert_stamp("2016-12-31T23:59:60Z\n", DAYTIME_ZONE_KNOWN, 1483228800);
	assert_stamp("\n61366 26-11-22 11:02:45 00 0 0 050.0 UTC(NIST) * \n", DAYTIME_ZONE_KNOWN,
		     1795345365);
	assert_stamp("\n51543 99-12-31 00:00:00 00 0 0 050.0 UTC(NIST) * \n", DAYTIME_ZONE_KNOWN,
		     946598400);
	assert_stamp("\n40587 70-01-01 00:00:00 00 0 0 050.0 UTC(NIST) * \n", DAYTIME_ZONE_KNOWN,
		     0);
	assert_stamp("\n88069 00-01-01 00:00:00 00 0 0 050.0 UTC(NIST) * \n", DAYTIME_ZONE_KNOWN,
		     4102444800);
}

static void nonsense_is_not_read(void **state)
{
	static const char *const replies[] = {
		"",
		"\r\n",
		"Sun Nov 22 11:02:45",
		"Sun Nov 22 11:02:45 2026 x",
		"Sun Nov 31 11:02:45 2026\n",
		"Mon Feb 29 11:02:45 2026\n",
		"Sun Nov  0 11:02:45 2026\n",
		"Sun Nov 22 24:02:45 2026\n",
		"2026-13-22T11:02:45Z\n",
		"2026-11-22T11:02:45\n",
		"2026-11-22X11:02:45Z",
		"2026-11-22T11:02:45+24:00",
		"2026-11-22T11:02:45Z1",
		"2026-02-29T11:02:45Z",
		"2100-02-29T11:02:45Z",
		"22 NOV 2026 11:02:45 UTC 1",
		"61366 26-11-22 11:02:45 00 0 0 50.0 UTC\n",
		"61366 26-11-23 11:02:45 00 0 0 050.0 UTC(NIST) *\n", /* the day before */
		"61366 27-11-22 11:02:45 00 0 0 050.0 UTC(NIST) *\n",
		"61375 26-11-31 11:02:45 00 0 0 050.0 UTC(NIST) *\n", /* the first of December */
		"22 NOV 2026 11:02:45 ABCDEFGHIJKLMNOP\n",
		"the time is now\n",
	};
	struct daytime_stamp s = { .seconds = 7 };

	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++)
		assert_int_equal(daytime_parse(replies[i], strlen(replies[i]), &s), -EINVAL);
	assert_int_equal(s.seconds, 7);
}

/* Every form with each of its characters wrong, missing, or the last: none is read as another time
 * than it says, and most are not read at all. */
static void damaged_replies_are_not_read(void **state)
{
	static const char *const replies[] = {
		"Sun Nov 22 11:02:45 2026", "Thu Jan  1 00:00:00 1970",
		"22 NOV 2026 11:02:45 UTC", "2026-11-22T11:02:45.25+05:30",
		"2026-11-22t11:02:45z",     "61366 26-11-22 11:02:45 00 0 0 050.0 UTC(NIST) *",
	};
	struct daytime_stamp s;
	char text[128];
	unsigned read = 0, all = 0;

	for (size_t k = 0; k < sizeof(replies) / sizeof(replies[0]); k++) {
		size_t len = strlen(replies[k]);

		for (size_t i = 0; i < len; i++) {
			strcpy(text, replies[k]);
			text[i] = '#';
			read += daytime_parse(text, len, &s) == 0;
			read += daytime_parse(replies[k], i, &s) == 0;
			memmove(text + i, replies[k] + i + 1, len - i);
			read += daytime_parse(text, len - 1, &s) == 0;
			text[i] = '9';
			read += daytime_parse(text, len - 1, &s) == 0;
			all += 4;
		}
	}
	assert_in_range(read, 1, all / 4);
}

/* What one side writes the other reads: every form, over some years, hour by hour. */
static void forms_read_back(void **state)
{
	static const enum daytime_kind kinds[] = { DAYTIME_ASCTIME, DAYTIME_RFC3339, DAYTIME_NIST };

	zone("America/New_York");
	for (size_t k = 0; k < 3; k++) {
		struct daytime_format f = { .kind = kinds[k] };

		for (time_t t = 1767225600; t < 1767225600 + 3 * 366 * 86400L; t += 3671) {
			const char *reply = text(&f, t);
			struct daytime_stamp s;

			assert_int_equal(daytime_parse(reply, strlen(reply), &s), 0);
			if (s.zone == DAYTIME_ZONE_KNOWN)
				assert_int_equal(s.seconds, t);
		}
	}
}

static void offset_spans_what_is_not_known(void **state)
{
	struct client_reply r = { .asked_ns = 1795345360000000000LL,
				  .got_ns = 1795345360200000000LL };
	int64_t ahead, margin;

	buf_str(&r.bytes, "2026-11-22T11:02:45Z\n"); /* somewhere in second ...365 */
	assert_int_equal(client_offset(&r, &ahead, &margin), 0);
	assert_int_equal(margin, 600000000);   /* half of the second and of the round trip */
	assert_int_equal(ahead, 5400000000LL); /* from 4.8 to 6.0 */
	buf_free(&r.bytes);
	zone("Asia/Seoul");
	buf_str(&r.bytes, "Sun Nov 22 20:02:45 2026\n");
	assert_int_equal(client_offset(&r, &ahead, &margin), 0);
	assert_int_equal(ahead, 5400000000LL);
	buf_free(&r.bytes);
	buf_str(&r.bytes, "22 NOV 2026 20:02:45 KST\r\n");
	assert_int_equal(client_offset(&r, &ahead, &margin), 0);
	assert_int_equal(ahead, 5400000000LL);
	zone("America/New_York"); /* a stranger's zone, and this one's in the other half of the year
				   */
	assert_int_equal(client_offset(&r, &ahead, &margin), -ENOENT);
	buf_free(&r.bytes);
	buf_str(&r.bytes, "22 NOV 2026 07:02:45 EDT\r\n");
	assert_int_equal(client_offset(&r, &ahead, &margin), 0);
	assert_int_equal(ahead, 5400000000LL);
	buf_free(&r.bytes);
	buf_str(&r.bytes, "soon\n");
	assert_int_equal(client_offset(&r, &ahead, &margin), -EINVAL);
	buf_free(&r.bytes);
}

static void a_line_needs_text_and_an_end(void **state)
{
	assert_false(client_has_line("", 0));
	assert_false(client_has_line("\n\r\n", 3));
	assert_false(client_has_line("Sun", 3));
	assert_true(client_has_line("\nSun\n", 5));
	assert_true(client_has_line("Sun\r\nmore", 9));
}

/* RFC 8305, 4: the families take turns, each in the resolver's order, which also says who begins.
 */
static void families_take_turns(void **state)
{
	static const struct {
		const char *given, *want; /* a family and its place in the list */
		size_t max;
	} rows[] = {
		{ "6666", "6a6b6c6d", 32 },
		{ "6644", "6a4c6b4d", 32 },
		{ "4466", "4a6c4b6d", 32 },
		{ "64", "6a4b", 32 },
		{ "46664", "4a6b4e6c6d", 32 },
		{ "6644", "6a4c6b", 3 },
		{ "6", "6a", 32 },
	};
	const struct addrinfo *order[32];
	struct addrinfo list[8];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = strlen(rows[i].given);
		char got[32] = "";

		for (size_t k = 0; k < n; k++)
			list[k] = (struct addrinfo){
				.ai_family = rows[i].given[k] == '6' ? AF_INET6 : AF_INET,
				.ai_next = k + 1 < n ? &list[k + 1] : NULL,
			};
		n = connect_order(list, order, rows[i].max);
		for (size_t k = 0; k < n; k++) {
			got[2 * k] = order[k]->ai_family == AF_INET6 ? '6' : '4';
			got[2 * k + 1] = (char)('a' + (order[k] - list));
		}
		assert_string_equal(got, rows[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asctime_is_the_c_librarys),
		cmocka_unit_test(local_time_follows_the_zone),
		cmocka_unit_test(days_are_counted_in_any_year),
		cmocka_unit_test(formats_are_read),
		cmocka_unit_test(times_out_of_range_have_no_text),
		cmocka_unit_test(nist_is_to_the_letter),
		cmocka_unit_test(dst_counts_down),
		cmocka_unit_test(leap_seconds_of_a_right_zone_are_told),
		cmocka_unit_test(the_text_follows_the_clock),
		cmocka_unit_test(the_nist_form_is_advanced_as_it_says),
		cmocka_unit_test(the_health_is_the_clocks),
		cmocka_unit_test(replies_are_read),
		cmocka_unit_test(nonsense_is_not_read),
		cmocka_unit_test(damaged_replies_are_not_read),
		cmocka_unit_test(forms_read_back),
		cmocka_unit_test(offset_spans_what_is_not_known),
		cmocka_unit_test(a_line_needs_text_and_an_end),
		cmocka_unit_test(families_take_turns),
	};

	return cmocka_run_group_tests_name("daytime_text", tests, NULL, NULL);
}
