/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/num.h"
#include "base/text.h"

static void u64_takes_digits_only(void **state)
{
	uint64_t v = 7;

	assert_int_equal(num_u64("0", 0, 10, &v), 0);
	assert_int_equal(v, 0);
	assert_int_equal(num_u64("18446744073709551615", 0, UINT64_MAX, &v), 0);
	assert_true(v == UINT64_MAX);
	v = 7;
	assert_int_equal(num_u64("", 0, 10, &v), -EINVAL);
	assert_int_equal(num_u64("+1", 0, 10, &v), -EINVAL);
	assert_int_equal(num_u64(" 1", 0, 10, &v), -EINVAL);
	assert_int_equal(num_u64("1x", 0, 10, &v), -EINVAL);
	assert_int_equal(num_u64("11", 0, 10, &v), -ERANGE);
	assert_int_equal(num_u64("1", 2, 10, &v), -ERANGE);
	assert_int_equal(num_u64("18446744073709551616", 0, UINT64_MAX, &v), -ERANGE);
	assert_int_equal(num_u64("99999999999999999999x", 0, UINT64_MAX, &v), -EINVAL);
	assert_int_equal(v, 7);
}

static void durations_need_a_unit(void **state)
{
	int64_t ns = 7;

	assert_int_equal(num_duration("100s", &ns), 0);
	assert_int_equal(ns, 100000000000LL);
	assert_int_equal(num_duration("250ms", &ns), 0);
	assert_int_equal(ns, 250000000);
	assert_int_equal(num_duration("1.5s", &ns), 0);
	assert_int_equal(ns, 1500000000);
	assert_int_equal(num_duration("0", &ns), 0);
	assert_int_equal(ns, 0);
	assert_int_equal(num_duration("2h", &ns), 0);
	assert_int_equal(ns, 7200 * 1000000000LL);
	ns = 7;
	assert_int_equal(num_duration("", &ns), -EINVAL);
	assert_int_equal(num_duration("5", &ns), -EINVAL);
	assert_int_equal(num_duration("s", &ns), -EINVAL);
	assert_int_equal(num_duration(".s", &ns), -EINVAL);
	assert_int_equal(num_duration("-1s", &ns), -EINVAL);
	assert_int_equal(num_duration("1 s", &ns), -EINVAL);
	assert_int_equal(num_duration("1sec", &ns), -EINVAL);
	assert_int_equal(num_duration("99999999999999999999s", &ns), -ERANGE);
	assert_int_equal(num_duration("110000d", &ns), -ERANGE);
	assert_int_equal(ns, 7);
}

static void durations_are_said_shortly(void **state)
{
	static const struct {
		int64_t ns;
		const char *text;
	} rows[] = {
		{ 0, "0 ns" },
		{ 1500, "1.5 us" },
		{ 250000000, "250 ms" },
		{ 2600000, "2.6 ms" },
		{ 60000000000, "60 s" },
		{ 59900000000, "59.9 s" },
		{ 125 * 1000000000LL, "2 m 5 s" },
		{ 3 * 3600 * 1000000000LL, "3 h" },
		{ 50 * 3600 * 1000000000LL, "2 d 2 h" },
	};
	char text[32];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(num_duration_text(rows[i].ns, text, sizeof(text)),
				    rows[i].text);
}

static void assert_escaped(const char *in, size_t len, bool utf8, const char *want)
{
	struct buf b = { 0 };

	text_escape(&b, in, len, utf8);
	assert_string_equal(b.data ? b.data : "", want);
	buf_free(&b);
}

static void strange_bytes_are_escaped(void **state)
{
	assert_escaped("plain text", 10, true, "plain text");
	assert_escaped("\033[2J\a", 5, true, "\\x1b[2J\\x07");
	assert_escaped("a\r\n\t\\", 5, true, "a\\r\\n\\t\\\\");
	assert_escaped("\xc3\xa9", 2, true, "\xc3\xa9");
	assert_escaped("\xc3\xa9", 2, false, "\\xc3\\xa9");
	assert_escaped("\xc2\x9b", 2, true, "\\xc2\\x9b");          /* C1 control: CSI */
	assert_escaped("\xe2\x80\xae", 3, true, "\\xe2\\x80\\xae"); /* right-to-left override */
	assert_escaped("\xed\xa0\x80", 3, true, "\\xed\\xa0\\x80"); /* a surrogate */
	assert_escaped("\xc0\xaf", 2, true, "\\xc0\\xaf");          /* not the shortest form */
	assert_escaped("\xe2\x82", 2, true, "\\xe2\\x82");          /* cut short */
	assert_escaped("\xe0\x80\xaf", 3, true, "\\xe0\\x80\\xaf"); /* in three bytes */
	assert_escaped("\xe0\x9f\xbf", 3, true, "\\xe0\\x9f\\xbf"); /* U+7FF */
	assert_escaped("\xe0\xa0\x80", 3, true, "\xe0\xa0\x80");    /* U+800: the least of three */
	assert_escaped("\xf0\x8f\xbf\xbd", 4, true, "\\xf0\\x8f\\xbf\\xbd"); /* U+FFFD in four */
	assert_escaped("\xf0\x90\x80\x80", 4, true, "\xf0\x90\x80\x80");     /* U+10000 */
	assert_escaped("\xef\xbb\xbf", 3, true, "\\xef\\xbb\\xbf");          /* U+FEFF: no width */
	assert_escaped("\xef\xbb\xbe", 3, true, "\xef\xbb\xbe"); /* the letter before it */
	assert_escaped("\0", 1, true, "\\x00");
}

static void nearest_name_is_near(void **state)
{
	static const char *const names[] = { "both-close", "client-never-closes", "lab" };

	assert_string_equal(text_nearest("client-never-close", names, 3), "client-never-closes");
	assert_string_equal(text_nearest("bothclose", names, 3), "both-close");
	assert_null(text_nearest("zzzzzz", names, 3));
	assert_int_equal(text_distance("kitten", "sitting"), 3);
}

static void width_counts_characters(void **state)
{
	assert_int_equal(text_width("abc"), 3);
	assert_int_equal(text_width("\xe2\x94\x82\xc3\xa9"), 2);
}

static void error_text_is_cut_whole(void **state)
{
	struct err e = { 0 };
	char longer[600];

	memset(longer, 'x', 510);
	strcpy(longer + 510, "\xc3\xa9");
	assert_int_equal(err_set(&e, -EIO, "%s", longer), -EIO);
	assert_int_equal(strlen(e.text), 510); /* the half letter is gone */
	err_errno(&e, -ENOENT, "opening %s", "/x");
	assert_string_equal(e.text, "opening /x: No such file or directory");
	assert_int_equal(err_set(NULL, -EIO, "nobody listens"), -EIO);
}

static void buffers_grow(void **state)
{
	struct buf b = { 0 };

	for (int i = 0; i < 1000; i++)
		buf_printf(&b, "%d,", i % 10);
	assert_int_equal(b.len, 2000);
	buf_fill(&b, '-', 3);
	assert_string_equal(b.data + 1998, "9,---");
	assert_false(b.failed);
	buf_free(&b);
	assert_null(b.data);
}

static void a_small_file_is_read_as_text(void **state)
{
	char path[] = "/tmp/unclosed-unit-XXXXXX", text[8];
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "0123456789", 10), 10);
	assert_int_equal(fd_read_text(path, text, sizeof(text)), 7);
	assert_string_equal(text, "0123456");
	assert_int_equal(ftruncate(fd, 2), 0);
	assert_int_equal(fd_read_text(path, text, sizeof(text)), 2);
	assert_string_equal(text, "01");
	close(fd);
	unlink(path);
	assert_int_equal(fd_read_text(path, text, sizeof(text)), -ENOENT);
	assert_string_equal(text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(u64_takes_digits_only),
		cmocka_unit_test(durations_need_a_unit),
		cmocka_unit_test(durations_are_said_shortly),
		cmocka_unit_test(strange_bytes_are_escaped),
		cmocka_unit_test(nearest_name_is_near),
		cmocka_unit_test(width_counts_characters),
		cmocka_unit_test(error_text_is_cut_whole),
		cmocka_unit_test(buffers_grow),
		cmocka_unit_test(a_small_file_is_read_as_text),
	};

	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
