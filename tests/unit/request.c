/* SPDX-License-Identifier: MIT */
/* Requests of the room: what each takes, and that all are known that are carried out. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lab/lab.h"
#include "lab/request.h"
#include "unit.h"

static int decode(const char *text, struct err *e)
{
	struct request r = { .args = NULL };
	int got = request_decode(text, strlen(text), &r, e);

	json_decref(r.args);
	return got;
}

static void every_op_has_a_form(void **state)
{
	const struct op *const families[] = { ops_actor, ops_puppet, ops_expect, ops_wire };

	for (size_t i = 0; i < 4; i++)
		for (const struct op *op = families[i]; op->name; op++)
			assert_true(request_is_known(op->name));
	assert_false(request_is_known("done"));
	assert_false(request_is_known(""));
}

static void names_and_kinds_are_checked(void **state)
{
	struct err e = { 0 };

	assert_int_equal(decode("{\"op\":\"expect\",\"side\":0,\"states\":[\"gone\"]}", &e), 0);
	assert_int_equal(decode("{\"op\":\"expect\",\"states\":{},\"within\":\"2s\"}", &e), 0);
	assert_int_equal(decode("{\"op\":\"expect\",\"withn\":\"2s\"}", &e), -EINVAL);
	assert_string_equal(e.text, "'withn' is not taken here; did you mean 'within'?");
	assert_int_equal(decode("{\"op\":\"expect\",\"orphan\":1}", &e), -EINVAL);
	assert_string_equal(e.text, "'orphan' is to be true or false");
	assert_int_equal(decode("{\"op\":\"run\",\"argv\":[\"x\",2]}", &e), -EINVAL);
	assert_string_equal(e.text, "'argv' is to be a list of texts");
	assert_int_equal(decode("{\"op\":\"call\",\"args\":7}", &e), -EINVAL);
	assert_string_equal(e.text, "'args' is to be names and values");
}

static void what_is_no_message(void **state)
{
	static const char *const none[] = { "",
					    "{",
					    "[]",
					    "7",
					    "{}",
					    "{\"op\":1}",
					    "{\"op\":\"reboot\"}",
					    "{\"op\":\"done\",\"op\":\"done\"}" };
	struct err e = { 0 };

	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		assert_int_equal(decode(none[i], &e), -EBADMSG);
}

static void numbers_have_their_ranges(void **state)
{
	static const struct {
		const char *least, *below, *greatest, *beyond;
	} rows[] = {
		{ "nth\":1", "nth\":0", "nth\":1000000000", "nth\":1000000001" },
		{ "times\":1", "times\":0", "times\":7", "times\":1.5" },
		{ "percent\":1", "percent\":0", "percent\":100", "percent\":101" },
		{ "length\":0", "length\":-1", "length\":65535", "length\":65536" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *const values[] = { rows[i].least, rows[i].greatest, rows[i].below,
					       rows[i].beyond };

		for (int j = 0; j < 4; j++) {
			struct err e = { 0 };
			char text[80];

			snprintf(text, sizeof(text), "{\"op\":\"wire_rule\",\"%s}", values[j]);
			assert_int_equal(decode(text, &e), j < 2 ? 0 : -EINVAL);
		}
	}
}

static void what_a_call_takes_is_checked(void **state)
{
	struct err e = { 0 };

	assert_int_equal(
		decode("{\"op\":\"call\",\"name\":\"listen\",\"args\":{\"port\":65535}}", &e), 0);
	assert_int_equal(decode("{\"op\":\"call\",\"name\":\"accept\",\"args\":[]}", &e), 0);
	assert_int_equal(decode("{\"op\":\"call\",\"name\":\"bind\",\"args\":{\"port\":65536}}",
				&e),
			 -EINVAL);
	assert_string_equal(e.text, "'port' is to be a whole number from 0 to 65535");
	assert_int_equal(decode("{\"op\":\"call\",\"name\":\"listen\",\"args\":{\"backlogg\":2}}",
				&e),
			 -EINVAL);
	assert_string_equal(e.text, "'backlogg' is not taken here; did you mean 'backlog'?");
	assert_int_equal(decode("{\"op\":\"call\",\"name\":\"listne\",\"args\":{}}", &e), -EINVAL);
	assert_string_equal(e.text, "no call 'listne'");
}

static void the_last_words(void **state)
{
	static const char done[] = "{\"op\":\"done\"}", failed[] = "{\"op\":\"error\",\"x\":1}";
	struct request r;

	assert_int_equal(request_decode(done, sizeof(done) - 1, &r, NULL), 0);
	assert_int_equal(r.kind, REQUEST_DONE);
	json_decref(r.args);
	assert_int_equal(request_decode(failed, sizeof(failed) - 1, &r, NULL), 0);
	assert_int_equal(r.kind, REQUEST_FAILED);
	json_decref(r.args);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_op_has_a_form),
		cmocka_unit_test(names_and_kinds_are_checked),
		cmocka_unit_test(what_is_no_message),
		cmocka_unit_test(numbers_have_their_ranges),
		cmocka_unit_test(what_a_call_takes_is_checked),
		cmocka_unit_test(the_last_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
