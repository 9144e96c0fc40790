/* SPDX-License-Identifier: MIT */
/* The thread that reads stacks, where reading one does not end. What unwinds is this test's own. */
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "doctor/reader.h"
#include "kernel/unwind.h"
#include "unit.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t begun = PTHREAD_COND_INITIALIZER;
static bool is_at_it;

struct unwinder *unwinder_new(void)
{
	return calloc(1, 1);
}

void unwinder_free(struct unwinder *u)
{
	free(u);
}

void unwinder_rest(struct unwinder *u)
{
}

void unwind(struct unwinder *u, const struct watch_stack *stack, struct tw_stack *out)
{
	pthread_mutex_t never = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&lock);
	is_at_it = true;
	pthread_cond_signal(&begun);
	pthread_mutex_unlock(&lock);
	pthread_mutex_lock(&never);
	pthread_mutex_lock(&never);
}

static void the_end_does_not_wait_for_one_that_does_not_end(void **state)
{
	struct watch_stack *stack = calloc(1, sizeof(*stack));
	struct reader *r = reader_new();
	int64_t before;

	assert_non_null(stack);
	assert_int_equal(reader_ask(r, stack, true), 0);
	pthread_mutex_lock(&lock);
	while (!is_at_it)
		pthread_cond_wait(&begun, &lock);
	pthread_mutex_unlock(&lock);
	before = clock_mono_ns();
	reader_free(r);
	assert_true(clock_mono_ns() - before >= READER_END_NS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_end_does_not_wait_for_one_that_does_not_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
