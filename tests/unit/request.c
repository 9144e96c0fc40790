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

	for (size_t i = 0; i < 4; i++) {
		for (const struct op *op = families[i]; op->name; op++) {
			struct err e = { 0 };
			char text[64];

			snprintf(text, sizeof(text), "{\"op\":\"%s\"}", op->name);
			assert_int_not_equal(decode(text, &e), -EBADMSG);
		}
	}
}

static void names_and_kinds_are_checked(void **state)
{
	struct err e = { 0 };

	assert_int_equal(decode("{\"op\":\"expect\",\"side\":0,\"states\":[\"gone\"]}", &e), 0);
	assert_int_equal(
		decode("{\"op\":\"expect\",\"side\":1,\"states\":{},\"within\":\"2s\"}", &e), 0);
	assert_int_equal(decode("{\"op\":\"expect\",\"withn\":\"2s\"}", &e), -EINVAL);
	assert_string_equal(e.text, "'withn' is not taken here; did you mean 'within'?");
	assert_int_equal(decode("{\"op\":\"expect\",\"orphan\":1}", &e), -EINVAL);
	assert_string_equal(e.text, "'orphan' is to be true or false");
	assert_int_equal(decode("{\"op\":\"run\",\"argv\":[\"x\",2]}", &e), -EINVAL);
	assert_string_equal(e.text, "'argv' is to be a list of texts");
	assert_int_equal(decode("{\"op\":\"call\",\"args\":7}", &e), -EINVAL);
	assert_string_equal(e.text, "'args' is to be names and values");
}

/* The room is not trusted: an end that is not named must not be taken for the client's. */
static void what_a_request_needs_is_there(void **state)
{
	static const struct {
		const char *request, *error;
	} rows[] = {
		{ "\"expect\",\"states\":[\"gone\"]", "'side' is missing" },
		{ "\"expect\",\"side\":0", "'states' is missing" },
		{ "\"expect\",\"side\":2,\"states\":[\"gone\"]",
		  "'side' is to be a whole number from 0 to 1" },
		{ "\"expect_path\",\"states\":[\"gone\"]", "'side' is missing" },
		{ "\"expect_packet\",\"flags\":\"SYN\"", "'side' is missing" },
		{ "\"sample\"", "'side' is missing" },
		{ "\"run\",\"argv\":[\"daytime\"]", "'side' is missing" },
		{ "\"process\"", "'side' is missing" },
		{ "\"sysctl\",\"name\":\"x\",\"value\":\"1\"", "'side' is missing" },
		{ "\"wire_inject\",\"flags\":\"RST\"", "'side' is missing" },
		{ "\"wire_rule\",\"action\":\"hold\",\"from\":\"cliet\"",
		  "'from' is to be a whole number" },
		{ "\"wire_rule\",\"action\":\"hold\",\"from\":2",
		  "'from' is to be a whole number from 0 to 1" },
		{ "\"wire_rule\"", "'action' is missing" },
		{ "\"says\",\"text\":\"x\"", "'actor' is missing" },
		{ "\"check\",\"text\":\"x\"", "'passed' is missing" },
		{ "\"wire_cut\"", "'cut' is missing" },
		{ "\"call\",\"name\":\"connect\",\"actor\":0,\"fd\":4,\"args\":{\"port\":13}",
		  "'host' is missing" },
		{ "\"call\",\"name\":\"connect\",\"actor\":0,\"fd\":4,\"args\":{\"host\":0}",
		  "'port' is missing" },
		{ "\"call\",\"name\":\"read\",\"actor\":0,\"fd\":4,\"args\":[]",
		  "'count' is missing" },
		{ "\"call\",\"name\":\"read\",\"fd\":4,\"args\":{\"count\":1}",
		  "'actor' is missing" },
		{ "\"call\",\"name\":\"close\",\"actor\":0,\"args\":{}", "'fd' is missing" },
		{ "\"finish\",\"actor\":0,\"fails\":\"EPIPEE\"",
		  "'fails' is to be the name of an error, such as \"EPIPE\"" },
		/* Only a call is begun and finished later: no other step would know what came of
		   it. */
		{ "\"fork\",\"actor\":0,\"begin\":true",
		  "'begin' is not taken here (see unclosed-scenario(5))" },
		{ "\"finish\",\"actor\":0,\"begin\":true",
		  "'begin' is not taken here (see unclosed-scenario(5))" },
		{ "\"wire_quiet\",\"lasting\":1",
		  "'lasting' is to be a duration, such as \"2s\" or \"250ms\"" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err e = { 0 };
		char text[160];

		snprintf(text, sizeof(text), "{\"op\":%s}", rows[i].request);
		assert_int_equal(decode(text, &e), -EINVAL);
		assert_string_equal(e.text, rows[i].error);
	}
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

			snprintf(text, sizeof(text),
				 "{\"op\":\"wire_rule\",\"action\":\"drop\",\"%s}", values[j]);
			assert_int_equal(decode(text, &e), j < 2 ? 0 : -EINVAL);
		}
	}
}

#define CALL(name, args) \
	"{\"op\":\"call\",\"actor\":0,\"fd\":4,\"name\":\"" name "\",\"args\":" args "}"

static void what_a_call_takes_is_checked(void **state)
{
	struct err e = { 0 };

	assert_int_equal(decode(CALL("listen", "{\"port\":65535}"), &e), 0);
	assert_int_equal(decode(CALL("accept", "[]"), &e), 0);
	assert_int_equal(decode(CALL("bind", "{\"port\":65536}"), &e), -EINVAL);
	assert_string_equal(e.text, "'port' is to be a whole number from 0 to 65535");
	assert_int_equal(decode(CALL("listen", "{\"backlogg\":2}"), &e), -EINVAL);
	assert_string_equal(e.text, "'backlogg' is not taken here; did you mean 'backlog'?");
	assert_int_equal(decode(CALL("listne", "{}"), &e), -EINVAL);
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
		cmocka_unit_test(what_a_request_needs_is_there),
		cmocka_unit_test(what_is_no_message),
		cmocka_unit_test(numbers_have_their_ranges),
		cmocka_unit_test(what_a_call_takes_is_checked),
		cmocka_unit_test(the_last_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
