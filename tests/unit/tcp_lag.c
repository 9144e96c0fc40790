/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <string.h>

#include "tcp/lag.h"

static void buckets_follow_on_one_another(void **state)
{
	uint64_t before = 0;

	for (uint32_t i = 0; i < 3000; i++) {
		uint64_t low = lag_bucket_low(i), high = lag_bucket_high(i);

		assert_true(low == before);
		assert_true(high > low);
		assert_int_equal(lag_bucket_of(low), i);
		assert_int_equal(lag_bucket_of(high - 1), i);
		before = high;
	}
}

static void a_bucket_is_a_64th_of_its_value(void **state)
{
	for (uint32_t i = 64; i < 3000; i++)
		assert_true((lag_bucket_high(i) - lag_bucket_low(i)) * 64 <= lag_bucket_low(i));
}

/* The lags 1 ms, 2 ms, ... 1000 ms: every percentile is known. */
static void quantiles_are_within_a_percent(void **state)
{
	struct lag_bucket b[1000];
	static const unsigned permille[] = { 1, 10, 500, 900, 990, 1000 };
	size_t n = 0;

	for (uint64_t ms = 1; ms <= 1000; ms++) {
		uint32_t number = lag_bucket_of(ms * 1000000);

		if (!n || b[n - 1].number != number)
			b[n++] = (struct lag_bucket){ .number = number };
		b[n - 1].count++;
		b[n - 1].max = ms * 1000000;
	}
	assert_int_equal(lag_count(b, n), 1000);
	assert_int_equal(lag_max(b, n), 1000000000);
	for (size_t i = 0; i < sizeof(permille) / sizeof(permille[0]); i++) {
		double want = permille[i] * 1e6, got = (double)lag_quantile(b, n, permille[i]);

		assert_true(got > want * 0.99 && got < want * 1.01);
	}
}

static void one_lag_is_every_quantile(void **state)
{
	struct lag_bucket b = { lag_bucket_of(123456789), 1, 123456789 };

	assert_true(lag_quantile(&b, 1, 1) <= 123456789);
	assert_true(lag_quantile(&b, 1, 1000) <= 123456789);
	assert_true(lag_quantile(&b, 1, 500) > 121000000);
	assert_int_equal(lag_quantile(NULL, 0, 500), 0);
}

static void the_drawing_has_a_line_per_step(void **state)
{
	struct lag_bucket b[] = { { lag_bucket_of(1500000), 10, 1500000 },
				  { lag_bucket_of(7000000), 20, 7000000 } };
	struct buf out = { 0 };

	lag_draw(&out, b, 2, false);
	assert_string_equal(out.data, "      1 ms .. 2 ms             10 ####################\n"
				      "      2 ms .. 5 ms              0 \n"
				      "      5 ms .. 10 ms            20 "
				      "########################################\n");
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets_follow_on_one_another),
		cmocka_unit_test(a_bucket_is_a_64th_of_its_value),
		cmocka_unit_test(quantiles_are_within_a_percent),
		cmocka_unit_test(one_lag_is_every_quantile),
		cmocka_unit_test(the_drawing_has_a_line_per_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
