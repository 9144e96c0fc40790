/* SPDX-License-Identifier: MIT */
/* The watch on paper: its summary, its close lags, its lines. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "report/watch.h"

/* 02:43:51.025 of a day, where it is UTC. */
#define MOMENT 1700016231025000000LL
#define DAY    (24LL * 3600 * 1000000000)

static void every_loss_is_said_by_its_cause(void **state)
{
	static const struct {
		struct tw_losses lost;
		const char *text, *json;
	} cases[] = {
		{ { .events = 3 }, "  3 events lost: the buffer was full", "\"events\":3" },
		{ { .stacks = 3 }, "  3 stacks lost: their buffer was full", "\"stacks\":3" },
		{ { .refused = 3 },
		  "  3 stacks not taken: too many new ones in one second",
		  "\"stacks_refused\":3" },
		{ { .untracked = 3 },
		  "  3 ends not followed: the table was full",
		  "\"ends_untracked\":3" },
		{ { .lags = 3 }, "  3 close lags not counted: the table was full", "\"lags\":3" },
		{ { .missed = 3 },
		  "  3 events not seen: they came, by an interrupt, while another was looked at; what began then is looked for",
		  "\"missed\":3" },
		{ { .forgotten = 3 },
		  "  3 reports not kept: out of memory",
		  "\"reports_forgotten\":3" },
		{ { .unkept = 3 }, "  3 stacks not shown: there was", "\"stacks_not_kept\":3" },
		{ { .makings = 3 }, "  3 makings of sockets not noted", "\"makings\":3" },
		{ { .children = 3 }, "  3 child processes not watched", "\"children\":3" },
		{ { .listeners = 3 },
		  "  3 accept queues not looked at to their end",
		  "\"listeners\":3" },
		{ { .namespaces = 3 },
		  "  3 network namespaces not looked into",
		  "\"namespaces\":3" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct tw_summary s = { .reported = 2, .open = 1, .losses = cases[i].lost };
		struct buf text = { 0 }, json = { 0 };

		assert_int_equal(tw_losses_sum(&s.losses), 3);
		watch_text_summary(&text, &s);
		watch_json_summary(&json, 0, &s);
		assert_non_null(strstr(text.data,
				       "2 reported, 1 still open; this report is incomplete:\n"));
		assert_non_null(strstr(text.data, cases[i].text));
		assert_non_null(strstr(json.data, "\"complete\":false"));
		assert_non_null(strstr(json.data, cases[i].json));
		buf_free(&text);
		buf_free(&json);
	}
}

static void without_a_loss_it_is_complete(void **state)
{
	struct tw_summary s = { .reported = 2, .open = 1, .emitted = 5, .received = 5 };
	struct buf text = { 0 }, json = { 0 };

	watch_text_summary(&text, &s);
	watch_json_summary(&json, 0, &s);
	assert_string_equal(text.data, "2 reported, 1 still open\n");
	assert_non_null(strstr(json.data, "\"complete\":true"));
	buf_free(&text);
	buf_free(&json);
}

/* Though nothing that was to be seen by then was lost. */
static void what_was_cut_short_is_not_complete(void **state)
{
	struct tw_summary s = { .reported = 2, .open = 1, .cut_short = true };
	struct buf text = { 0 }, json = { 0 };

	watch_text_summary(&text, &s);
	watch_json_summary(&json, 0, &s);
	assert_string_equal(text.data, "2 reported, 1 still open; this report is incomplete:\n"
				       "  the watch could not go on\n");
	assert_non_null(strstr(json.data, "\"complete\":false"));
	buf_free(&text);
	buf_free(&json);
}

/* 90 lags of 1 ms, 9 of 30 ms, 1 of 2 s: each column has its own. */
static void lags_have_their_percentiles_and_a_histogram(void **state)
{
	struct lag_bucket b[] = { { lag_bucket_of(1000000), 90, 1000000 },
				  { lag_bucket_of(30000000), 9, 30000000 },
				  { lag_bucket_of(2000000000), 1, 2000000000 } };
	struct lag_row rows[] = {
		{ .pid = 7, .comm = "server", .port = 80, .buckets = b, .bucket_count = 3 },
		{ .pid = 8,
		  .comm = "client",
		  .port = 80,
		  .outward = true,
		  .buckets = b,
		  .bucket_count = 2 },
		{ .comm = "(kernel)", .port = 80, .buckets = b, .bucket_count = 1 },
		{ .comm = "ended", .outward = true, .port = 80, .buckets = b, .bucket_count = 1 },
	};
	const struct report_style plain = { .columns = 80 };
	struct buf table = { 0 }, drawn = { 0 };

	watch_text_lags(&table, MOMENT, rows, 4, false, &plain);
	assert_string_equal(
		table.data,
		"02:43:51.025 close lag since start  closes      p50      p90      p99      max\n"
		"  server[7] :80                        100     1 ms     1 ms    30 ms      2 s\n"
		"  client[8] ->:80                       99     1 ms     1 ms    30 ms    30 ms\n"
		"  (kernel) :80                          90     1 ms     1 ms     1 ms     1 ms\n"
		"  ended ->:80                           90     1 ms     1 ms     1 ms     1 ms\n");
	watch_text_lags(&drawn, MOMENT, rows, 1, true, &plain);
	assert_non_null(strstr(drawn.data, "500 us .. 1 ms             90 ####"));
	buf_free(&table);
	buf_free(&drawn);
}

static void what_is_at_least_is_said_so(void **state)
{
	struct tw_line line = { .what = TW_OVER,
				.at_least = true,
				.closed = true,
				.age_ns = 5000000000,
				.lag_ns = 5000000000 };
	const struct report_style plain = { .columns = 80 };
	struct buf out = { 0 };

	watch_text(&out, &line, NULL, &plain);
	assert_non_null(strstr(out.data, " >=5 s, closed after >=5 s\n"));
	buf_free(&out);
	line.at_least = false;
	watch_text(&out, &line, NULL, &plain);
	assert_non_null(strstr(out.data, " 5 s, closed after 5 s\n"));
	buf_free(&out);
}

/* Its state is CLOSED: "half-closed" would contradict it. */
static void a_dead_end_is_said_to_be_dead(void **state)
{
	struct tw_line line = { .what = TW_HALF_CLOSED,
				.first = TW_FIRST_NOBODY,
				.cause = TCP_CAUSE_DEAD,
				.dead = true,
				.sample = { .state = TCPS_CLOSE, .error = ECONNRESET } };
	const struct report_style plain = { .columns = 80 };
	struct buf out = { 0 };

	watch_text(&out, &line, NULL, &plain);
	assert_non_null(strstr(out.data, " dead        "));
	assert_non_null(strstr(out.data, " -- "));
	assert_non_null(strstr(out.data, " CLOSED 0 ns dead, ECONNRESET\n"));
	assert_null(strstr(out.data, "half-closed"));
	buf_free(&out);
	line.dead = false;
	watch_text(&out, &line, NULL, &plain);
	assert_non_null(strstr(out.data, " half-closed "));
	buf_free(&out);
}

/* The line that counts: with both its stacks, as the first one would have had them. */
static void what_is_still_there_shows_its_stacks(void **state)
{
	static const struct tw_stack told = { .count = 1, .frames = { { .function = "reads" } } };
	static const struct tw_stack made = { .count = 1, .frames = { { .function = "makes" } } };
	struct tw_line line = { .what = TW_STILL,
				.cause = TCP_CAUSE_TOLD,
				.told_stack = &told,
				.made_stack = &made,
				.sample = { .state = TCPS_CLOSE_WAIT } };
	const struct report_style plain = { .columns = 80 };
	struct buf out = { 0 };

	watch_text(&out, &line, NULL, &plain);
	assert_non_null(strstr(out.data, " still       "));
	assert_non_null(strstr(out.data, " CLOSE_WAIT 0 ns told\n  told at   reads\n"
					 "  connected makes\n"));
	buf_free(&out);
	watch_json(&out, &line);
	assert_non_null(strstr(out.data, "\"event\":\"still\""));
	buf_free(&out);
}

/* Each object of a table says when, and since when it counts. */
static void lags_have_their_time_in_json(void **state)
{
	struct lag_row row = { .comm = "server" };
	struct buf out = { 0 };

	watch_json_lag(&out, MOMENT, MOMENT - DAY, &row);
	assert_non_null(strstr(out.data, "\"event\":\"lag\",\"time\":1700016231.025000000,"
					 "\"since\":1699929831.025000000,"));
	buf_free(&out);
}

static void what_sees_no_accept_says_so(void **state)
{
	struct buf out = { 0 };

	watch_json_start(&out, MOMENT, 1, "fexit", NULL);
	assert_non_null(strstr(out.data, ",\"reads\":\"fexit\",\"accepts\":null}\n"));
	buf_free(&out);
}

static void every_object_has_its_time(void **state)
{
	const struct tw_summary s = { .reported = 1 };
	struct buf out = { 0 };

	watch_json_start(&out, MOMENT, 1, "fexit", "fexit");
	watch_json_command(&out, MOMENT, false, 0, 0);
	watch_json_ended(&out, MOMENT);
	watch_json_summary(&out, MOMENT, &s);
	for (char *line = strtok(out.data, "\n"); line; line = strtok(NULL, "\n"))
		assert_non_null(strstr(line, ",\"time\":1700016231.025000000"));
	buf_free(&out);
}

/* A stack of these functions of one object; a number stands for one without a name. */
static struct tw_stack stack_of(const char *names)
{
	struct tw_stack s = { .count = (unsigned)strlen(names) };

	for (unsigned i = 0; i < s.count; i++) {
		struct tw_frame *f = &s.frames[i];

		strcpy(f->object, "x");
		f->line = i; /* differs, and does not matter */
		if (names[i] >= 'a')
			f->function[0] = names[i];
		else
			f->address = (uint64_t)(names[i] - '0');
	}
	return s;
}

/* Turns of one call, of two and of sixteen, and what is too short to be left out. */
static void calls_that_repeat_are_counted(void **state)
{
	static const struct {
		const char *calls, *text;
	} cases[] = {
		{ "aaaa", "  t         a in x\n            (the same function 3 times more)\n" },
		{ "aaa", "  t         a in x\n            a in x\n            a in x\n" },
		{ "1111", "  t         0x1 in x\n            (the same function 3 times more)\n" },
		{ "mababab", "  t         m in x\n            a in x\n            b in x\n"
			     "            (the same 2 functions 2 times more)\n" },
		{ "abcabcz", "  t         a in x\n            b in x\n            c in x\n"
			     "            (the same 3 functions once more)\n            z in x\n" },
		{ "123", "  t         0x1 in x\n            0x2 in x\n            0x3 in x\n" },
	};
	const struct report_style plain = { .columns = 80 };
	struct tw_stack s = stack_of("abcdefghijklmnopabcdefghijklmnopq");
	struct buf out = { 0 };

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct tw_stack few = stack_of(cases[i].calls);

		watch_text_stack(&out, "t", &few, &plain);
		assert_string_equal(out.data, cases[i].text);
		buf_free(&out);
	}
	watch_text_stack(&out, "t", &s, &plain);
	assert_non_null(strstr(out.data, " p in x\n            (the same 16 functions once more)\n"
					 "            q in x\n"));
	buf_free(&out);
}

/* A line of this time with that stack, as the text after its first line. */
static const char *below(struct buf *out, const struct tw_stack *stack, int64_t wall_ns,
			 struct watch_shown *shown)
{
	static const struct report_style plain = { .columns = 80 };
	struct tw_line line = { .what = TW_HALF_CLOSED, .told_stack = stack, .wall_ns = wall_ns };

	buf_free(out);
	watch_text(out, &line, shown, &plain);
	return strchr(out->data, '\n') + 1;
}

#define WHOLE "  told at   read in libc.so.6\n            serve in server at s.c:9\n"
#define AGAIN "  told at   serve in server at s.c:9 (stack as at 02:43:51.025)\n"

/* A day later the time would mean another. */
static void a_stack_is_shown_whole_once_a_day(void **state)
{
	static const struct tw_stack s = {
		.count = 2,
		.frames = { { .function = "read", .object = "libc.so.6" },
			    { .function = "serve", .object = "server", .file = "s.c", .line = 9 } },
	};
	struct tw_stack other = s;
	struct watch_shown shown = { 0 };
	struct buf out = { 0 };

	other.frames[0].object[0] = 'L';
	assert_string_equal(below(&out, &s, MOMENT, &shown), WHOLE);
	assert_string_equal(below(&out, &s, MOMENT + 1000000000, &shown), AGAIN);
	assert_non_null(strstr(below(&out, &other, MOMENT, &shown), " read in Libc.so.6\n   "));
	assert_string_equal(below(&out, &s, MOMENT + DAY - 1, &shown), AGAIN);
	assert_string_equal(below(&out, &s, MOMENT + DAY, &shown), WHOLE);
	assert_string_equal(below(&out, &s, MOMENT + DAY, &shown), AGAIN);
	assert_string_equal(below(&out, &s, MOMENT, NULL), WHOLE);
	buf_free(&out);
}

static void what_was_shown_longest_ago_is_forgotten(void **state)
{
	struct watch_shown shown = { 0 };
	struct tw_stack s = { .count = 2 };
	struct buf out = { 0 };

	for (unsigned i = 0; i < WATCH_SHOWN + 1; i++) {
		s.frames[0].address = i + 1;
		assert_null(strstr(below(&out, &s, MOMENT, &shown), "as at"));
	}
	assert_non_null(strstr(below(&out, &s, MOMENT, &shown), "as at"));
	s.frames[0].address = 2;
	assert_non_null(strstr(below(&out, &s, MOMENT, &shown), "as at"));
	s.frames[0].address = 1;
	assert_null(strstr(below(&out, &s, MOMENT, &shown), "as at"));
	buf_free(&out);
}

/* Each reason that there is for want of a stack. */
static void why_there_is_no_stack_is_said(void **state)
{
	static const struct {
		struct tw_line line;
		struct watch_taking taking;
		const char *told, *made;
	} cases[] = {
		{ { .first = TW_FIRST_PEER },
		  { .stacks = true },
		  "(no read has returned 0 yet)",
		  "(not recorded before the first report of a process: see --made)" },
		{ { .taken_in = true },
		  { .stacks = true, .made = true },
		  "(no read has returned 0 since the watch began; of those before nothing is known)",
		  "(it was made before the watch began)" },
		{ { .told = true }, { 0 }, "(not taken: --no-stacks)", "(not taken: --no-stacks)" },
		{ { .told = true },
		  { .stacks = true, .made = true },
		  "(not taken: too many new ones at once, ",
		  "(not recorded: it was made before the watch began, " },
		{ { .waiting = true, .accepted = true },
		  { .stacks = true },
		  "(it is not accepted: nobody can read it)",
		  "(it is not accepted yet)" },
		{ { .first = TW_FIRST_HERE },
		  { .stacks = true },
		  "(its peer has not closed: ",
		  "--made" },
		{ { .dead = true }, { .stacks = true }, "(no read returned 0 before it died)", "" },
	};
	const struct report_style plain = { .columns = 80 };
	struct buf out = { 0 };

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char *made;

		watch_text_whole(&out, &cases[i].line, NULL, NULL, &cases[i].taking, &plain);
		made = strstr(out.data,
			      cases[i].line.accepted ? "\n  accepted  (" : "\n  connected (");
		assert_non_null(made);
		assert_non_null(strstr(made, cases[i].made));
		*made = '\0';
		assert_non_null(strstr(out.data, "\n  told at   ("));
		assert_non_null(strstr(out.data, cases[i].told));
		buf_free(&out);
	}
	watch_text_whole(&out, &cases[0].line, "  told at   f\n", "  connected g\n",
			 &cases[0].taking, &plain);
	assert_non_null(strstr(out.data, "\n  told at   f\n  connected g\n"));
	buf_free(&out);
}

static int in_utc(void **state)
{
	setenv("TZ", "UTC", 1);
	tzset();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_loss_is_said_by_its_cause),
		cmocka_unit_test(without_a_loss_it_is_complete),
		cmocka_unit_test(what_was_cut_short_is_not_complete),
		cmocka_unit_test(lags_have_their_percentiles_and_a_histogram),
		cmocka_unit_test(what_is_at_least_is_said_so),
		cmocka_unit_test(a_dead_end_is_said_to_be_dead),
		cmocka_unit_test(what_is_still_there_shows_its_stacks),
		cmocka_unit_test(lags_have_their_time_in_json),
		cmocka_unit_test(what_sees_no_accept_says_so),
		cmocka_unit_test(every_object_has_its_time),
		cmocka_unit_test(calls_that_repeat_are_counted),
		cmocka_unit_test(a_stack_is_shown_whole_once_a_day),
		cmocka_unit_test(what_was_shown_longest_ago_is_forgotten),
		cmocka_unit_test(why_there_is_no_stack_is_said),
	};

	return cmocka_run_group_tests_name("watch_report", tests, in_utc, NULL);
}
