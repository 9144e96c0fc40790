/* SPDX-License-Identifier: MIT */
/* The kernel programs' table of ends, run here: what one that is taken in without its socket's lock
 * is, where the connection dies, or is closed, meanwhile; and what lies away from its home. */
#include "unit.h"

#include <linux/types.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/bpf/watch.h"

/* What the table asks of the kernel. */
#define SEC(name)
#define __uint(name, value) int(*name)[value]
#define __type(name, value) value *name
#define __noinline          __attribute__((noinline))
#undef __always_inline
#define __always_inline inline
#define BPF_NOEXIST     1
enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_F_NO_PREALLOC = 1,
	BPF_F_MMAPABLE = 1024
};

static uint64_t spilled;
static void *bpf_map_lookup_elem(const void *map, const void *key);
static long bpf_map_update_elem(const void *map, const void *key, const void *value,
				uint64_t flags);
static long bpf_map_delete_elem(const void *map, const void *key);

static uint64_t bpf_ktime_get_ns(void)
{
	return 1;
}

#include "kernel/bpf/watch_table.bpf.h"

static struct end *places;
static uint64_t words[PLACES / 64];
static struct end over; /* the only one that has room in `spill` */

static void *bpf_map_lookup_elem(const void *map, const void *key)
{
	uint32_t at = *(const uint32_t *)key;

	if (map == &spill)
		return over.sk && over.sk == *(const uint64_t *)key ? &over : NULL;
	if (map == &ends)
		return &places[at];
	return map == &live ? &words[at] : NULL;
}

static long bpf_map_update_elem(const void *map, const void *key, const void *value, uint64_t flags)
{
	if (over.sk)
		return -1;
	over = *(const struct end *)value;
	over.sk = *(const uint64_t *)key;
	return 0;
}

static long bpf_map_delete_elem(const void *map, const void *key)
{
	if (over.sk != *(const uint64_t *)key)
		return -1;
	over.sk = 0;
	return 0;
}

#define SK (1ULL << 40)

static bool is_live(uint32_t number)
{
	return words[number / 64] >> (number & 63) & 1;
}

/* There is room. */
static struct end *claim_place(uint64_t sk, uint32_t *number)
{
	struct end *e = claim(sk, number);

	if (!e)
		abort();
	return e;
}

/* As the programs do under the lock, at a death. */
static void die(void)
{
	uint32_t number;
	struct end *e = find(SK);

	if (e && is_known(e->flags)) {
		__sync_fetch_and_or(&e->flags, WATCH_DEAD);
		return;
	}
	e = claim_place(SK, &number);
	publish(e, WATCH_DEAD, number);
}

/* As the walk does. Returns whether the end is its own. */
static bool take_in(void)
{
	uint32_t number;
	struct end *e = claim_place(SK, &number);

	return seize_claimed(e, SK) && publish_seized(e, SK, WATCH_HOLDER | WATCH_TAKEN_IN, number);
}

/* As the programs do under the lock, at its end. */
static void finish(void)
{
	struct end *e = find(SK);

	if (e && !(__sync_fetch_and_or(&e->flags, WATCH_FINISHED) & WATCH_SEIZED))
		remove(SK);
}

/* Another socket of the same home, each time another one. */
static uint64_t neighbour(void)
{
	static uint64_t last = SK;

	do
		last += 64;
	while (home_of(last) != home_of(SK));
	return last;
}

/* In a place that was another's. */
static void start_afresh(uint32_t flags_before)
{
	uint32_t home = home_of(SK);

	for (uint32_t i = 0; i < NEAR; i++)
		places[(home + i) % PLACES] = (struct end){ .flags = flags_before };
	over.sk = spilled = 0;
	memset(words, 0, sizeof(words));
}

static const uint32_t before[] = { 0, WATCH_FINISHED | WATCH_HOLDER | WATCH_CLOSED | WATCH_TOLD,
				   WATCH_FINISHED | WATCH_DEAD | WATCH_REPORTED };
#define BEFORE (sizeof(before) / sizeof(before[0]))

static void what_nobody_else_follows_is_taken_in(void **state)
{
	for (size_t i = 0; i < BEFORE; i++) {
		start_afresh(before[i]);
		assert_true(take_in());
		assert_int_equal(find(SK)->flags, WATCH_HOLDER | WATCH_TAKEN_IN);
		assert_true(is_live(home_of(SK)));
		die();
		assert_int_equal(find(SK)->flags, WATCH_HOLDER | WATCH_TAKEN_IN | WATCH_DEAD);
		remove(SK);
		assert_null(find(SK));
	}
}

/* Before it is claimed, and between each two of the steps. */
static void a_death_meanwhile_counts(void **state)
{
	for (size_t i = 0; i < 4 * BEFORE; i++) {
		uint32_t number;
		struct end *e;

		start_afresh(before[i / 4]);
		if (i % 4 == 0)
			die();
		e = claim_place(SK, &number);
		if (i % 4 == 1)
			die();
		assert_int_equal(seize_claimed(e, SK), i % 4 > 1);
		if (i % 4 == 2)
			die();
		assert_int_equal(is_whole(e->flags), i % 4 < 2);
		if (i % 4 > 1)
			assert_true(publish_seized(e, SK, WATCH_HOLDER, number));
		if (i % 4 == 3)
			die();
		assert_true(is_whole(e->flags));
		assert_int_equal(e->flags & WATCH_DEAD, WATCH_DEAD);
		assert_true(is_live(number));
	}
}

static void a_read_meanwhile_counts(void **state)
{
	uint32_t number;
	struct end *e;

	start_afresh(before[1]);
	e = claim_place(SK, &number);
	assert_true(seize_claimed(e, SK));
	assert_int_equal(e->flags & WATCH_TOLD, 0);
	__sync_fetch_and_or(&e->flags, WATCH_TOLD | WATCH_OURS);
	assert_true(publish_seized(e, SK, WATCH_HOLDER, number));
	assert_int_equal(e->flags, WATCH_HOLDER | WATCH_TOLD | WATCH_OURS);
}

/* Its place is another's only once it is given up. */
static void one_that_is_closed_meanwhile_is_given_up(void **state)
{
	uint64_t other = neighbour();

	for (size_t i = 0; i < BEFORE; i++) {
		uint32_t number, others;
		struct end *e, *o;

		start_afresh(before[i]);
		e = claim_place(SK, &number);
		assert_true(seize_claimed(e, SK));
		finish();
		o = claim_place(other, &others);
		assert_ptr_not_equal(o, e);
		publish(o, WATCH_CLOSED, others);
		assert_false(publish_seized(e, SK, WATCH_HOLDER, number));
		assert_null(find(SK));
		assert_int_equal(e->sk, 0);
		assert_ptr_equal(find(other), o);
		assert_int_equal(o->flags, WATCH_CLOSED);
		remove(other);
	}
}

/* Closed before it was marked, or after somebody who had the lock wiped the mark out: another has
 * the place. */
static void a_place_that_is_another_s_is_left_alone(void **state)
{
	uint64_t other = neighbour();

	for (size_t i = 0; i < 2 * BEFORE; i++) {
		uint32_t number, others;
		struct end *e, *o;

		start_afresh(before[i / 2]);
		e = claim_place(SK, &number);
		if (i % 2) {
			assert_true(seize_claimed(e, SK));
			publish(e, WATCH_HOLDER, number);
		}
		finish();
		o = claim_place(other, &others);
		assert_ptr_equal(o, e);
		publish(o, WATCH_CLOSED, others);
		assert_false(i % 2 ? publish_seized(e, SK, WATCH_HOLDER, number)
				   : seize_claimed(e, SK));
		assert_int_equal(o->sk, other);
		assert_int_equal(o->flags, WATCH_CLOSED);
		remove(other);
	}
}

/* One whose end was missed lies there still when its socket's next one comes. */
static void what_lies_elsewhere_is_counted_once(void **state)
{
	for (uint32_t taken = 1; taken <= NEAR; taken++) {
		uint64_t others[NEAR];
		uint32_t number, home = home_of(SK);
		struct end *e;

		start_afresh(0);
		for (uint32_t i = 0; i < taken; i++) {
			others[i] = neighbour();
			claim(others[i], &number);
		}
		e = claim_place(SK, &number);
		assert_int_equal(number, taken < NEAR ? (home + taken) % PLACES : AWAY);
		assert_ptr_equal(claim(SK, &number), e);
		assert_int_equal(places[home].away, taken);
		assert_int_equal(spilled, taken == NEAR);
		remove(SK);
		assert_null(find(SK));
		assert_int_equal(places[home].away, taken - 1);
		assert_int_equal(spilled, 0);
		for (uint32_t i = 0; i < taken; i++)
			remove(others[i]);
		assert_int_equal(places[home].away, 0);
	}
}

#define RACES 20000

static pthread_barrier_t barrier;

static void *die_each_time(void *unused)
{
	for (int i = 0; i < RACES; i++) {
		pthread_barrier_wait(&barrier);
		die();
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

static void a_death_at_the_same_time_counts(void **state)
{
	pthread_t other;

	pthread_barrier_init(&barrier, NULL, 2);
	assert_int_equal(pthread_create(&other, NULL, die_each_time, NULL), 0);
	for (int i = 0; i < RACES; i++) {
		start_afresh(before[(size_t)i % BEFORE]);
		pthread_barrier_wait(&barrier);
		take_in();
		pthread_barrier_wait(&barrier);
		assert_non_null(find(SK));
		assert_true(is_whole(find(SK)->flags));
		assert_int_equal(find(SK)->flags & WATCH_DEAD, WATCH_DEAD);
	}
	pthread_join(other, NULL);
	pthread_barrier_destroy(&barrier);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_nobody_else_follows_is_taken_in),
		cmocka_unit_test(a_death_meanwhile_counts),
		cmocka_unit_test(a_read_meanwhile_counts),
		cmocka_unit_test(one_that_is_closed_meanwhile_is_given_up),
		cmocka_unit_test(a_place_that_is_another_s_is_left_alone),
		cmocka_unit_test(what_lies_elsewhere_is_counted_once),
		cmocka_unit_test(a_death_at_the_same_time_counts),
	};
	int failed;

	places = aligned_alloc(64, PLACES * sizeof(*places));
	if (!places)
		return 1;
	memset(places, 0, PLACES * sizeof(*places));
	failed = cmocka_run_group_tests_name("watch_ends", tests, NULL, NULL);
	free(places);
	return failed;
}
