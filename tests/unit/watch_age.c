/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernel/bpf/watch_age.h"

#define MS   1000000ULL
#define S    (1000 * MS)
#define HOUR (3600 * S)

static const uint32_t ticks[] = { 1 * MS, 3333333, 4 * MS, 10 * MS };
#define TICKS (sizeof(ticks) / sizeof(ticks[0]))

/* A socket whose last ACK came so long ago, and that nothing else has touched since the FIN. */
static struct watch_stamps aged(uint64_t now, uint64_t age, uint32_t tick)
{
	struct watch_stamps s = { .now = now, .clock = now - age, .tick = tick, .last = true };

	s.jiffies = (uint32_t)(now / tick - 300 * S / tick);
	s.ack = (uint32_t)((now - age) / tick - 300 * S / tick);
	return s;
}

static uint64_t apart(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

static void the_last_ack_is_the_fin_s(void **state)
{
	static const uint64_t ups[] = {
		10 * S, 299 * S, 300 * S + 1, 301 * S, 5 * HOUR, 1000 * HOUR
	};

	for (unsigned i = 0; i < TICKS; i++)
		for (unsigned j = 0; j < sizeof(ups) / sizeof(ups[0]); j++) {
			struct watch_stamps s = aged(ups[j], 5 * S + 123456, ticks[i]);
			__u64 since = 0;

			assert_true(watch_fin_came(&s, &since));
			assert_int_equal(since, s.clock); /* it is finer */
			s.clock = s.now - S;              /* something was sent since */
			assert_true(watch_fin_came(&s, &since));
			assert_true(apart(since, s.now - 5 * S) <= 2ULL * ticks[i]);
		}
}

/* The age is at least what is said. */
static void after_a_later_segment_the_age_is_a_bound(void **state)
{
	for (unsigned i = 0; i < TICKS; i++) {
		struct watch_stamps s = aged(HOUR, 5 * S, ticks[i]);
		__u64 since = 0;

		s.last = false;
		s.clock = s.now - S;
		assert_false(watch_fin_came(&s, &since));
		assert_true(since >= s.now - 5 * S && since <= s.now - 5 * S + 3ULL * ticks[i]);
	}
}

static void without_a_stamp_the_clock_is_a_bound(void **state)
{
	struct watch_stamps s = aged(HOUR, 5 * S, 4 * MS);
	__u64 since = 0;

	s.ack = 0;
	assert_false(watch_fin_came(&s, &since));
	assert_int_equal(since, s.clock);
	s = aged(HOUR, 5 * S, 4 * MS);
	s.tick = 0;
	assert_false(watch_fin_came(&s, &since));
	assert_int_equal(since, s.clock);
}

static void a_stamp_made_meanwhile_is_of_now(void **state)
{
	struct watch_stamps s = aged(HOUR, 0, 4 * MS);
	__u64 since = 0;

	s.ack = s.jiffies + 3;
	s.clock = s.now + MS;
	assert_true(watch_fin_came(&s, &since));
	assert_int_equal(since, s.clock);
	assert_true(apart(since, s.now) <= 4 * MS);
}

/* 2^32 ticks after the start a stamp may be of an earlier round. */
static void after_a_wrap_nothing_is_exact(void **state)
{
	for (unsigned i = 0; i < TICKS; i++) {
		struct watch_stamps s = aged(((uint64_t)ticks[i] << 32) - S, 5 * S, ticks[i]);
		__u64 since = 0;

		assert_true(watch_fin_came(&s, &since));
		s = aged(((uint64_t)ticks[i] << 32) + S, 5 * S, ticks[i]);
		assert_false(watch_fin_came(&s, &since));
		assert_true(apart(since, s.now - 5 * S) <= 3ULL * ticks[i]);
	}
}

/* Older than the machine: of no use. */
static void a_stamp_from_before_the_start_is_none(void **state)
{
	struct watch_stamps s = aged(10 * S, 5 * S, 4 * MS);
	__u64 since = 0;

	s.ack = s.jiffies - 3000;
	assert_false(watch_fin_came(&s, &since));
	assert_int_equal(since, s.clock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_ack_is_the_fin_s),
		cmocka_unit_test(after_a_later_segment_the_age_is_a_bound),
		cmocka_unit_test(without_a_stamp_the_clock_is_a_bound),
		cmocka_unit_test(a_stamp_made_meanwhile_is_of_now),
		cmocka_unit_test(after_a_wrap_nothing_is_exact),
		cmocka_unit_test(a_stamp_from_before_the_start_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
