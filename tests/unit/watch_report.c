/* SPDX-License-Identifier: MIT */
/* The watch on paper: its summary, its close lags, its lines. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "report/watch.h"

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
		  "  3 events not seen: they came while another was looked at",
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
		watch_json_summary(&json, &s);
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
	watch_json_summary(&json, &s);
	assert_string_equal(text.data, "2 reported, 1 still open\n");
	assert_non_null(strstr(json.data, "\"complete\":true"));
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
	};
	const struct report_style plain = { .columns = 80 };
	struct buf table = { 0 }, drawn = { 0 };

	watch_text_lags(&table, rows, 3, false, &plain);
	assert_string_equal(
		table.data,
		"close lag                            closes       p50       p90       p99       max\n"
		"  server[7] :80                         100      1 ms      1 ms     30 ms       2 s\n"
		"  client[8] ->:80                        99      1 ms      1 ms     30 ms     30 ms\n"
		"  (kernel) :80                           90      1 ms      1 ms      1 ms      1 ms\n");
	watch_text_lags(&drawn, rows, 1, true, &plain);
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

	watch_text(&out, &line, &plain);
	assert_non_null(strstr(out.data, " >=5 s, closed after >=5 s\n"));
	buf_free(&out);
	line.at_least = false;
	watch_text(&out, &line, &plain);
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

	watch_text(&out, &line, &plain);
	assert_non_null(strstr(out.data, " dead        "));
	assert_non_null(strstr(out.data, " -- "));
	assert_non_null(strstr(out.data, " CLOSED 0 ns dead, ECONNRESET\n"));
	assert_null(strstr(out.data, "half-closed"));
	buf_free(&out);
	line.dead = false;
	watch_text(&out, &line, &plain);
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

	watch_text(&out, &line, &plain);
	assert_non_null(strstr(out.data, " still       "));
	assert_non_null(strstr(out.data, " CLOSE_WAIT 0 ns told\n  told at   reads\n"
					 "  connected makes\n"));
	buf_free(&out);
	watch_json(&out, &line);
	assert_non_null(strstr(out.data, "\"event\":\"still\""));
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_loss_is_said_by_its_cause),
		cmocka_unit_test(without_a_loss_it_is_complete),
		cmocka_unit_test(lags_have_their_percentiles_and_a_histogram),
		cmocka_unit_test(what_is_at_least_is_said_so),
		cmocka_unit_test(a_dead_end_is_said_to_be_dead),
		cmocka_unit_test(what_is_still_there_shows_its_stacks),
	};

	return cmocka_run_group_tests_name("watch_report", tests, NULL, NULL);
}
