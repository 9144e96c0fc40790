/* SPDX-License-Identifier: MIT */
/* The kernel programs' table of ends, run here: what one that is taken in without its socket's lock
 * is, where the connection dies meanwhile. */
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
#define BPF_ANY         0
enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_F_NO_PREALLOC = 1,
	BPF_F_MMAPABLE = 1024
};

static uint64_t spilled;
static void *bpf_map_lookup_elem(const void *map, const void *key);

static long bpf_map_update_elem(const void *map, const void *key, const void *value, uint64_t flags)
{
	return -1; /* nothing spills over here */
}

static long bpf_map_delete_elem(const void *map, const void *key)
{
	return -1;
}

#include "kernel/bpf/watch_table.bpf.h"

static struct end *places;
static uint64_t words[PLACES / 64];

static void *bpf_map_lookup_elem(const void *map, const void *key)
{
	uint32_t at = *(const uint32_t *)key;

	if (map == &ends)
		return &places[at];
	return map == &live ? &words[at] : NULL;
}

#define SK (1ULL << 40)

static bool is_live(uint32_t number)
{
	return words[number / 64] >> (number & 63) & 1;
}

/* As the programs do under the lock, at a death. */
static void die(void)
{
	uint32_t number;
	struct end *e = find(SK);

	if (e && is_whole(e->flags)) {
		__sync_fetch_and_or(&e->flags, WATCH_DEAD);
		return;
	}
	e = claim(SK, &number);
	if (!e)
		abort();
	publish(e, WATCH_DEAD, number);
}

/* As the walk does. Returns whether the end is its own. */
static bool take_in(void)
{
	uint32_t number;
	struct end *e = claim(SK, &number);

	if (seize(e) && publish_seized(e, WATCH_HOLDER | WATCH_TAKEN_IN, number))
		return true;
	__sync_fetch_and_or(&e->flags, WATCH_HOLDER | WATCH_TAKEN_IN | WATCH_EXACT);
	return false;
}

/* In a place that was another's. */
static void start_afresh(uint32_t flags_before)
{
	uint32_t home = home_of(SK);

	places[home] = (struct end){ .flags = flags_before };
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
		e = claim(SK, &number);
		if (i % 4 == 1)
			die();
		assert_int_equal(seize(e), i % 4 > 1);
		if (i % 4 == 2)
			die();
		assert_int_equal(is_whole(e->flags), i % 4 < 3);
		if (i % 4 > 1)
			assert_int_equal(publish_seized(e, WATCH_HOLDER, number), i % 4 == 3);
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
	e = claim(SK, &number);
	assert_true(seize(e));
	assert_int_equal(e->flags & WATCH_TOLD, 0);
	__sync_fetch_and_or(&e->flags, WATCH_TOLD);
	assert_true(publish_seized(e, WATCH_HOLDER, number));
	assert_int_equal(e->flags, WATCH_HOLDER | WATCH_TOLD);
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
