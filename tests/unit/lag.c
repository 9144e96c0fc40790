/* SPDX-License-Identifier: MIT */
/* The counters of close lags, as the kernel's two tables have them, made one table. */
#include "unit.h"

#include <string.h>

#include "doctor/lag.h"

static struct lag_counter counter(uint32_t tgid, uint32_t bucket, bool in_slot, uint64_t count,
				  uint64_t max)
{
	struct lag_counter c = { .key = { .start = 9, .tgid = tgid, .port = 80, .bucket = bucket },
				 .lag = { .count = count, .max = max, .comm = "server" },
				 .in_slot = in_slot };

	return c;
}

/* While one CPU filled the place in the array, another counted the same in the map. */
static void the_array_and_the_map_add_up(void **state)
{
	for (int larger_in_slot = 0; larger_in_slot < 2; larger_in_slot++) {
		struct lag_counter v[] = { counter(7, 5, true, 40, larger_in_slot ? 400 : 300),
					   counter(7, 6, false, 1, 500),
					   counter(7, 5, false, 2, larger_in_slot ? 300 : 400) };
		struct lag_table t;

		assert_int_equal(lag_table_make(v, 3, &t), 0);
		assert_int_equal(t.row_count, 1);
		assert_int_equal(t.rows[0].bucket_count, 2);
		assert_int_equal(t.rows[0].buckets[0].number, 5);
		assert_int_equal(t.rows[0].buckets[0].count, 42);
		assert_int_equal(t.rows[0].buckets[0].max, 400);
		assert_int_equal(t.rows[0].buckets[1].count, 1);
		assert_string_equal(t.rows[0].comm, "server");
		lag_table_free(&t);
	}
}

/* Of what the walk over the map gave twice the later counts, which has counted more. */
static void what_the_walk_gave_twice_counts_once(void **state)
{
	struct lag_counter v[] = { counter(7, 5, false, 3, 300), counter(8, 5, false, 1, 310),
				   counter(7, 5, true, 10, 320), counter(7, 5, false, 4, 305),
				   counter(7, 5, false, 4, 305) };
	struct lag_table t;

	assert_int_equal(lag_table_make(v, 5, &t), 0);
	assert_int_equal(t.row_count, 2);
	assert_int_equal(t.rows[0].pid, 7); /* most closes first */
	assert_int_equal(lag_count(t.rows[0].buckets, t.rows[0].bucket_count), 14);
	assert_int_equal(lag_max(t.rows[0].buckets, t.rows[0].bucket_count), 320);
	assert_int_equal(lag_count(t.rows[1].buckets, t.rows[1].bucket_count), 1);
	lag_table_free(&t);
}

/* Of those that have ended only the name is left. */
static void what_has_no_process_is_told_apart_by_name(void **state)
{
	struct lag_counter v[] = { counter(0, 5, false, 3, 300), counter(0, 5, false, 4, 310),
				   counter(0, 6, false, 2, 500) };
	struct lag_table t;

	for (int i = 0; i < 3; i++)
		v[i].key.start = 0;
	strcpy(v[1].lag.comm, "client");
	assert_int_equal(lag_table_make(v, 3, &t), 0);
	assert_int_equal(t.row_count, 2);
	assert_string_equal(t.rows[0].comm, "server");
	assert_int_equal(lag_count(t.rows[0].buckets, t.rows[0].bucket_count), 5);
	assert_string_equal(t.rows[1].comm, "client");
	assert_int_equal(lag_count(t.rows[1].buckets, t.rows[1].bucket_count), 4);
	lag_table_free(&t);
}

static void nothing_makes_an_empty_table(void **state)
{
	struct lag_table t;

	assert_int_equal(lag_table_make(NULL, 0, &t), 0);
	assert_int_equal(t.row_count, 0);
	lag_table_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_array_and_the_map_add_up),
		cmocka_unit_test(what_the_walk_gave_twice_counts_once),
		cmocka_unit_test(what_has_no_process_is_told_apart_by_name),
		cmocka_unit_test(nothing_makes_an_empty_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
