/* SPDX-License-Identifier: MIT */
/* What the full-screen view knows of processes and their ends. */
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "cmd/watch_table.h"

#define SECOND CLOCK_NS_PER_S

/* Says something of the end with this cookie, which the process holds. */
static void say(struct table *t, enum tw_what what, uint64_t cookie, int32_t pid, uint64_t start_ns,
		const char *comm)
{
	struct tw_line line = {
		.what = what,
		.sample = { .state = TCPS_CLOSE_WAIT,
			    .cookie = cookie,
			    .local = { .family = AF_INET, .port = 80 },
			    .peer = { .family = AF_INET, .port = 5000 } },
		.owners = { { .pid = pid, .fd = 3, .start_ns = start_ns } },
		.owner_count = 1,
	};

	snprintf(line.owners[0].comm, TW_COMM, "%s", comm);
	table_line(t, &line);
}

static void say_line(struct table *t, enum tw_what what, uint64_t cookie, uint64_t age_ns)
{
	struct tw_line line = { .what = what,
				.sample.cookie = cookie,
				.age_ns = age_ns,
				.owners = { { .pid = 7, .start_ns = 100 } },
				.owner_count = 1 };

	table_line(t, &line);
}

static const struct table_proc *proc(const struct table *t, int32_t pid, uint64_t start_ns)
{
	return table_proc(t, &(struct table_who){ .pid = pid, .start_ns = start_ns });
}

static void seconds(struct table *t, int n)
{
	while (n-- > 0)
		table_second(t);
}

static void a_number_used_again_is_another_process(void **state)
{
	struct table t = { 0 };

	say(&t, TW_HALF_CLOSED, 1, 7, 100, "old");
	say(&t, TW_HALF_CLOSED, 2, 7, 100, "old");
	say(&t, TW_OVER, 1, 7, 100, "old");
	say(&t, TW_HALF_CLOSED, 3, 7, 200, "new");
	assert_int_equal(t.proc_count, 2);
	assert_string_equal(proc(&t, 7, 100)->comm, "old");
	assert_int_equal(proc(&t, 7, 100)->open, 1);
	assert_int_equal(proc(&t, 7, 100)->ever, 2);
	assert_string_equal(proc(&t, 7, 200)->comm, "new");
	assert_int_equal(proc(&t, 7, 200)->open, 1);
	assert_int_equal(proc(&t, 7, 200)->ever, 1);
	assert_int_equal(table_row(&t, &proc(&t, 7, 200)->who, 0)->cookie, 3);
	assert_null(table_row(&t, &proc(&t, 7, 200)->who, 1));
	table_free(&t);
}

static void an_exec_changes_the_name(void **state)
{
	struct table t = { 0 };

	say(&t, TW_HALF_CLOSED, 1, 7, 100, "sh");
	say(&t, TW_HALF_CLOSED, 2, 7, 100, "server");
	assert_string_equal(proc(&t, 7, 100)->comm, "server");
	assert_int_equal(t.proc_count, 1);
	table_free(&t);
}

static void who_holds_nothing_for_a_minute_leaves(void **state)
{
	struct table t = { 0 };

	say(&t, TW_HALF_CLOSED, 1, 7, 100, "leaves");
	say(&t, TW_HALF_CLOSED, 2, 8, 100, "stays");
	seconds(&t, 2 * TABLE_HISTORY);
	assert_int_equal(t.proc_count, 2);
	say(&t, TW_OVER, 1, 7, 100, "leaves");
	seconds(&t, TABLE_HISTORY - 1);
	assert_int_equal(proc(&t, 7, 100)->open, 0);
	seconds(&t, 1);
	assert_null(proc(&t, 7, 100));
	assert_int_equal(proc(&t, 8, 100)->open, 1);
	assert_int_equal(t.open, 1);
	assert_int_equal(t.ever, 2); /* still counted */
	table_free(&t);
}

static void who_comes_back_stays(void **state)
{
	struct table t = { 0 };

	say(&t, TW_HALF_CLOSED, 1, 7, 100, "x");
	say(&t, TW_OVER, 1, 7, 100, "x");
	seconds(&t, TABLE_HISTORY - 1);
	say(&t, TW_HALF_CLOSED, 2, 7, 100, "x");
	say(&t, TW_OVER, 2, 7, 100, "x");
	seconds(&t, 2);
	assert_int_equal(proc(&t, 7, 100)->ever, 2);
	table_free(&t);
}

static void what_there_is_no_room_for_is_counted(void **state)
{
	struct table t = { 0 };
	const struct table_proc *p;

	for (uint64_t i = 1; i <= TABLE_MOST_ITEMS + 3; i++)
		say(&t, TW_HALF_CLOSED, i, 7, 100, "x");
	p = proc(&t, 7, 100);
	assert_int_equal(t.item_count, TABLE_MOST_ITEMS);
	assert_int_equal(p->open, TABLE_MOST_ITEMS + 3);
	assert_int_equal(p->kept, TABLE_MOST_ITEMS);
	say(&t, TW_OVER, TABLE_MOST_ITEMS + 1, 7, 100, "x"); /* one of those not kept */
	assert_int_equal(p->open - p->kept, 2);
	say(&t, TW_OVER, 1, 7, 100, "x");
	assert_int_equal(p->open - p->kept, 2);
	say(&t, TW_TOLD, TABLE_MOST_ITEMS + 2, 7, 100, "x"); /* there is room now */
	assert_int_equal(p->open - p->kept, 1);
	assert_int_equal(t.open, TABLE_MOST_ITEMS + 1);
	table_free(&t);
}

/* What is heard of it later may name another, to whom it was passed on. */
static void what_was_only_counted_stays_whose_it_was(void **state)
{
	struct table t = { 0 };
	const uint64_t full = TABLE_MOST_ITEMS;
	uint64_t id;

	for (uint64_t i = 1; i <= full; i++)
		say(&t, TW_HALF_CLOSED, i, 7, 100, "full");
	for (uint64_t i = 1; i <= 3; i++)
		say(&t, TW_HALF_CLOSED, full + i, 8, 100, "counted");
	say(&t, TW_HALF_CLOSED, full + 4, 9, 100, "other");
	assert_int_equal(proc(&t, 8, 100)->kept, 0);
	say(&t, TW_OVER, 1, 7, 100, "full");
	say(&t, TW_TOLD, full + 1, 9, 100, "other"); /* there is room for one */
	assert_int_equal(proc(&t, 8, 100)->open, 3);
	assert_int_equal(proc(&t, 8, 100)->kept, 1);
	assert_int_equal(proc(&t, 9, 100)->open, 1);
	assert_int_equal(proc(&t, 9, 100)->kept, 0);
	id = table_row(&t, &proc(&t, 8, 100)->who, 0)->id;
	assert_int_equal(table_item(&t, id)->cookie, full + 1);
	say(&t, TW_OVER, full + 2, 9, 100, "other"); /* one that has no item */
	say(&t, TW_OVER, full + 2, 9, 100, "other"); /* which is over once */
	assert_int_equal(proc(&t, 8, 100)->open, 2);
	assert_int_equal(proc(&t, 9, 100)->open, 1);
	say(&t, TW_OVER, full + 1, 9, 100, "other");
	say(&t, TW_OVER, full + 3, 7, 100, "full");
	assert_int_equal(proc(&t, 8, 100)->open, 0);
	assert_int_equal(proc(&t, 8, 100)->kept, 0);
	assert_int_equal(proc(&t, 7, 100)->open, full - 1);
	assert_int_equal(t.open, full);
	table_free(&t);
}

static void an_item_is_found_again_by_its_id(void **state)
{
	struct table t = { 0 };
	uint64_t id;

	say(&t, TW_HALF_CLOSED, 1, 7, 100, "x");
	say(&t, TW_HALF_CLOSED, 2, 7, 100, "x");
	id = table_row(&t, &t.procs[0].who, 1)->id;
	say(&t, TW_OVER, 1, 7, 100, "x"); /* the other takes its place */
	say(&t, TW_TOLD, 2, 8, 100, "another was told");
	assert_int_equal(table_item(&t, id)->cookie, 2);
	assert_int_equal(table_item(&t, id)->who.pid, 7);
	say(&t, TW_OVER, 2, 7, 100, "x");
	assert_null(table_item(&t, id));
	assert_int_equal(t.open, 0);
	assert_int_equal(t.procs[0].kept, 0);
	table_free(&t);
}

static void most_open_ends_come_first(void **state)
{
	struct table t = { 0 };

	say(&t, TW_HALF_CLOSED, 1, 7, 100, "one");
	say(&t, TW_HALF_CLOSED, 2, 8, 100, "two");
	say(&t, TW_HALF_CLOSED, 3, 8, 100, "two");
	table_sort(&t);
	assert_int_equal(t.procs[0].who.pid, 8);
	assert_int_equal(t.procs[1].who.pid, 7);
	table_free(&t);
}

/* Whatever order they were reported in; one that dies begins a new age. */
static void the_oldest_comes_first(void **state)
{
	static const uint64_t ages_s[] = { 50, 300, 20, 400 };
	const struct table_who who = { .pid = 7, .start_ns = 100 };
	struct table t = { 0 };
	uint64_t id;

	for (uint64_t i = 0; i < 4; i++)
		say_line(&t, TW_HALF_CLOSED, i + 1, ages_s[i] * SECOND);
	table_sort(&t);
	for (int i = 0; i < 4; i++)
		assert_int_equal(table_row(&t, &who, i)->cookie, "\4\2\1\3"[i]);
	id = table_row(&t, &who, 1)->id;
	assert_int_equal(table_row_of(&t, &who, id), 1);
	say_line(&t, TW_DEAD, 4, 0);
	table_sort(&t);
	assert_int_equal(table_row(&t, &who, 3)->cookie, 4);
	assert_int_equal(table_row_of(&t, &who, id), 0);
	say_line(&t, TW_OVER, 2, 400 * SECOND);
	assert_int_equal(table_row_of(&t, &who, id), -1);
	table_free(&t);
}

/* Ages go on, the state is that of the last line, and stacks stay when a later one has none. */
static void a_line_goes_on(void **state)
{
	static const struct tw_stack told = { .count = 1, .frames = { { .function = "reads" } } };
	static const struct tw_stack gone = { .note = "the stack is not kept" };
	struct tw_line line = { .what = TW_HALF_CLOSED,
				.told = true,
				.told_ns = 2 * SECOND,
				.age_ns = 3 * SECOND,
				.wall_ns = 1000 * SECOND,
				.sample = { .state = TCPS_CLOSE_WAIT, .cookie = 1 },
				.told_stack = &told };
	struct table t = { 0 };
	const struct table_item *it;
	struct tw_line now;

	table_line(&t, &line);
	it = &t.items[0];
	now = table_line_now(it, it->said_ns + 10 * SECOND);
	assert_int_equal(now.age_ns, 13 * SECOND);
	assert_int_equal(now.told_ns, 12 * SECOND);
	assert_int_equal(now.wall_ns, 1010 * SECOND);
	assert_string_equal(it->told, "  told at   reads\n");
	line.what = TW_STILL;
	line.told_stack = &gone;
	table_line(&t, &line);
	assert_string_equal(it->told, "  told at   reads\n");
	line.what = TW_CLOSED;
	line.sample.state = TCPS_LAST_ACK;
	line.told_stack = NULL;
	table_line(&t, &line);
	now = table_line_now(it, it->said_ns);
	assert_int_equal(now.what, TW_CLOSED);
	assert_int_equal(now.sample.state, TCPS_LAST_ACK);
	assert_string_equal(it->told, "  told at   reads\n");
	table_free(&t);
}

/* A line that has waited for its stacks is no younger for it. */
static void ages_begin_at_the_moment_of_the_line(void **state)
{
	struct tw_line line = { .what = TW_HALF_CLOSED, .age_ns = SECOND };
	struct timespec ts;
	struct table t = { 0 };
	int64_t age;

	clock_gettime(CLOCK_REALTIME, &ts);
	line.wall_ns = ts.tv_sec * SECOND + ts.tv_nsec - 5 * SECOND;
	table_line(&t, &line);
	age = clock_mono_ns() - t.items[0].since_ns;
	assert_true(age >= 6 * SECOND && age < 60 * SECOND);
	table_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_number_used_again_is_another_process),
		cmocka_unit_test(an_exec_changes_the_name),
		cmocka_unit_test(who_holds_nothing_for_a_minute_leaves),
		cmocka_unit_test(who_comes_back_stays),
		cmocka_unit_test(what_there_is_no_room_for_is_counted),
		cmocka_unit_test(what_was_only_counted_stays_whose_it_was),
		cmocka_unit_test(an_item_is_found_again_by_its_id),
		cmocka_unit_test(most_open_ends_come_first),
		cmocka_unit_test(the_oldest_comes_first),
		cmocka_unit_test(a_line_goes_on),
		cmocka_unit_test(ages_begin_at_the_moment_of_the_line),
	};

	return cmocka_run_group_tests_name("watch_table", tests, NULL, NULL);
}
