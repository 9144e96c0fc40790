/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <string.h>

#include "kernel/perfmap.h"

static const char map[] = "7f00 10 first\n"
			  "7f10 20 LazyCompile:~second /app/x y.js:12\n"
			  "not a line\n"
			  "7f30 0 empty\n"
			  "7f14 4 inner\n"
			  "8000 8 last";

static void finds_the_entry(void **state)
{
	char name[32];
	uint64_t start;

	assert_true(perfmap_find(map, strlen(map), 0x7f00, name, sizeof(name), &start));
	assert_string_equal(name, "first");
	assert_int_equal(start, 0x7f00);
	assert_true(perfmap_find(map, strlen(map), 0x7f0f, name, sizeof(name), &start));
	assert_string_equal(name, "first");
	assert_true(perfmap_find(map, strlen(map), 0x8007, name, sizeof(name), &start));
	assert_string_equal(name, "last");
}

static void the_newest_entry_counts(void **state)
{
	char name[32];
	uint64_t start;

	assert_true(perfmap_find(map, strlen(map), 0x7f15, name, sizeof(name), &start));
	assert_string_equal(name, "inner");
	assert_true(perfmap_find(map, strlen(map), 0x7f18, name, sizeof(name), &start));
	assert_string_equal(name, "LazyCompile:~second /app/x y.js");
}

static void nothing_is_found_outside(void **state)
{
	char name[32] = "as it was";
	uint64_t start = 1;

	assert_false(perfmap_find(map, strlen(map), 0x7eff, name, sizeof(name), &start));
	assert_false(perfmap_find(map, strlen(map), 0x7f30, name, sizeof(name), &start));
	assert_false(perfmap_find(map, strlen(map), 0x8008, name, sizeof(name), &start));
	assert_false(perfmap_find("", 0, 0, name, sizeof(name), &start));
	assert_false(perfmap_find("ffffffffffffffffff 1 x\n", 23, 1, name, sizeof(name), &start));
	assert_string_equal(name, "as it was");
	assert_int_equal(start, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_entry),
		cmocka_unit_test(the_newest_entry_counts),
		cmocka_unit_test(nothing_is_found_outside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
