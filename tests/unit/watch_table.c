/* SPDX-License-Identifier: MIT */
/* What the full-screen view knows of processes and their ends. */
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "cmd/watch_table.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_number_used_again_is_another_process),
		cmocka_unit_test(an_exec_changes_the_name),
		cmocka_unit_test(who_holds_nothing_for_a_minute_leaves),
		cmocka_unit_test(who_comes_back_stays),
		cmocka_unit_test(what_there_is_no_room_for_is_counted),
		cmocka_unit_test(an_item_is_found_again_by_its_id),
		cmocka_unit_test(most_open_ends_come_first),
	};

	return cmocka_run_group_tests_name("watch_table", tests, NULL, NULL);
}
