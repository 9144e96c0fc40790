/* SPDX-License-Identifier: MIT */
/* The thread that reads stacks, and the store in front of it: with this program's own stack. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "doctor/reader.h"
#include "doctor/stacks.h"
#include "kernel/framenames.h"
#include "kernel/proc.h"
#include "unit.h"

#define PATIENCE (60 * CLOCK_NS_PER_S)

/* Where the stacks of these tests are. */
static __attribute__((noinline)) void a_place_of_its_own(void)
{
	__asm__ volatile("");
}

/* As near as /proc tells. */
static uint64_t start_of_this_process(void)
{
	struct proc_info info;

	assert_int_equal(proc_read((uint32_t)getpid(), &info), 0);
	free(info.cgroup);
	return info.start * (uint64_t)(CLOCK_NS_PER_S / sysconf(_SC_CLK_TCK));
}

static struct watch_stack *stack_here(uint32_t site)
{
	struct watch_stack *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->site = site;
	s->tgid = s->tid = (uint32_t)getpid();
	s->start = start_of_this_process();
	s->at = (uint64_t)clock_mono_ns();
	s->regs[WATCH_REGS - 1] = (uint64_t)(uintptr_t)a_place_of_its_own;
	s->regs[WATCH_SP] = 0x1000;
	s->size = 64; /* zeroes: its caller is nobody */
	return s;
}

static void what_was_asked_for_comes(void **state)
{
	struct reader *r = reader_new();
	struct reader_text *text;
	struct pollfd p = { .fd = reader_fd(r), .events = POLLIN };

	assert_null(reader_take(r, 0));
	assert_null(reader_take(r, PATIENCE)); /* does not wait for what nobody asked for */
	assert_int_equal(reader_ask(r, stack_here(7), true), 0);
	assert_int_equal(poll(&p, 1, 60000), 1);
	text = reader_take(r, PATIENCE);
	assert_non_null(text);
	assert_int_equal(text->site, 7);
	assert_int_equal(text->text.count, 1);
	assert_string_equal(text->text.frames[0].function, "a_place_of_its_own");
	assert_int_equal(reader_is_at(r, 7, false), false);
	assert_int_equal(poll(&p, 1, 0), 0);
	free(text);
	reader_free(r);
}

/* Its number was used again since the stack was taken: the files are another's. */
static void a_process_with_the_number_of_another_is_not_read(void **state)
{
	struct reader *r = reader_new();
	struct watch_stack *stack = stack_here(7);
	struct reader_text *text;

	stack->start -= CLOCK_NS_PER_S;
	assert_int_equal(reader_ask(r, stack, true), 0);
	text = reader_take(r, PATIENCE);
	assert_non_null(text);
	assert_int_equal(text->text.count, 0);
	assert_string_equal(text->text.note, "the process was gone before it was read");
	free(text);
	reader_free(r);
}

static void no_more_are_taken_than_there_is_room_for(void **state)
{
	struct reader *r = reader_new();
	struct reader_text *text;
	unsigned got = 0;

	for (uint32_t site = 1; site <= READER_JOBS; site++)
		assert_int_equal(reader_ask(r, stack_here(site), false), 0);
	assert_int_equal(reader_ask(r, stack_here(1), true), -EALREADY);
	assert_int_equal(reader_ask(r, stack_here(READER_JOBS + 1), true), -EAGAIN);
	while (got < READER_JOBS && (text = reader_take(r, PATIENCE))) {
		got++;
		free(text);
	}
	assert_int_equal(got, READER_JOBS);
	assert_int_equal(reader_ask(r, stack_here(READER_JOBS + 1), true), 0);
	reader_free(r); /* with one under way */
}

static void a_stack_is_ready_once_it_is_read(void **state)
{
	struct stacks *s = stacks_new();
	struct watch_stack *stack = stack_here(1);
	struct pollfd p = { .fd = stacks_fd(s), .events = POLLIN };

	assert_int_equal(stacks_ready(s, 0), true);
	assert_null(stacks_read(s, 0));
	assert_int_equal(stacks_ready(s, 1), true); /* there is nothing to wait for */
	assert_string_equal(stacks_read(s, 1)->note, "the stack is not kept");
	stacks_keep(s, stack);
	assert_int_equal(stacks_ready(s, 1), false);
	assert_string_equal(stacks_read(s, 1)->note, "the stack is not read yet");
	assert_int_equal(poll(&p, 1, 60000), 1);
	assert_int_equal(stacks_ready(s, 1), false); /* not collected */
	stacks_collect(s);
	assert_int_equal(stacks_ready(s, 1), true);
	assert_string_equal(stacks_read(s, 1)->frames[0].function, "a_place_of_its_own");
	stack->site = 2;
	stacks_keep(s, stack);
	assert_int_equal(stacks_await(s, 2, PATIENCE), true);
	assert_int_equal(stacks_read(s, 2)->count, 1);
	free(stack);
	stacks_free(s);
}

/* Of many the oldest go; what is not there any more counts when it is asked for. */
static void what_is_not_kept_is_counted_when_it_is_missed(void **state)
{
	struct stacks *s = stacks_new();
	struct watch_stack *stack = stack_here(1);

	for (stack->site = 1; stack->site <= 600; stack->site++) {
		stack->size = WATCH_STACK_BYTES;
		stacks_keep(s, stack);
	}
	assert_int_equal(stacks_missing(s), 0);
	assert_string_equal(stacks_read(s, 600)->note, "the stack is not read yet");
	assert_int_equal(stacks_missing(s), 0);
	assert_string_equal(stacks_read(s, 1)->note, "the stack is not kept");
	assert_null(stacks_read(s, 0));
	assert_int_equal(stacks_missing(s), 1);
	free(stack);
	stacks_free(s);
}

/* Small ones have gone round once, so that none had to go for its size; then larger ones come. */
static void the_oldest_go_first_also_after_a_round(void **state)
{
	struct stacks *s = stacks_new();
	struct watch_stack *stack = stack_here(1);
	uint32_t small = WATCH_SITES + 100, last = small + 330;

	for (stack->site = 1; stack->site <= last; stack->site++) {
		stack->size = stack->site <= small ? 64 : WATCH_STACK_BYTES;
		stacks_keep(s, stack);
	}
	assert_string_equal(stacks_read(s, small)->note, "the stack is not read yet");
	assert_string_equal(stacks_read(s, WATCH_SITES + 1)->note, "the stack is not read yet");
	assert_string_equal(stacks_read(s, last)->note, "the stack is not read yet");
	assert_int_equal(stacks_missing(s), 0);
	assert_true(stacks_oldest(s) > last - WATCH_SITES + 1);
	assert_string_equal(stacks_read(s, stacks_oldest(s))->note, "the stack is not read yet");
	assert_string_equal(stacks_read(s, stacks_oldest(s) - 1)->note, "the stack is not kept");
	free(stack);
	stacks_free(s);
}

static void one_is_read_ahead_where_it_is_asked_for(void **state)
{
	struct stacks *s = stacks_new();
	struct watch_stack *stack = stack_here(WATCH_SITES + 1);
	struct pollfd p = { .fd = stacks_fd(s), .events = POLLIN };

	stacks_keep(s, stack);
	stacks_read_ahead(s, 2);
	assert_int_equal(poll(&p, 1, 0), 0);
	stacks_read_ahead(s, 1);
	assert_int_equal(poll(&p, 1, 60000), 1);
	stacks_collect(s);
	assert_string_equal(stacks_read(s, stack->site)->frames[0].function, "a_place_of_its_own");
	free(stack);
	stacks_free(s);
}

static void names_are_remembered_by_file_and_place(void **state)
{
	static struct framenames names;
	struct tw_frame f = { .function = "f", .file = "f.c", .line = 3 }, found = { 0 };
	uint64_t one = framenames_file((const unsigned char *)"one", 3);
	uint64_t two = framenames_file((const unsigned char *)"two", 3);

	assert_true(one && two && one != two);
	assert_int_equal(framenames_find(&names, 0, 0, &found), false);
	framenames_keep(&names, one, 100, &f);
	assert_int_equal(framenames_find(&names, one, 101, &found), false);
	assert_int_equal(framenames_find(&names, two, 100, &found), false);
	assert_string_equal(found.function, "");
	assert_int_equal(framenames_find(&names, one, 100, &found), true);
	assert_string_equal(found.function, "f");
	assert_string_equal(found.file, "f.c");
	assert_int_equal(found.line, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_asked_for_comes),
		cmocka_unit_test(a_process_with_the_number_of_another_is_not_read),
		cmocka_unit_test(no_more_are_taken_than_there_is_room_for),
		cmocka_unit_test(a_stack_is_ready_once_it_is_read),
		cmocka_unit_test(what_is_not_kept_is_counted_when_it_is_missed),
		cmocka_unit_test(the_oldest_go_first_also_after_a_round),
		cmocka_unit_test(one_is_read_ahead_where_it_is_asked_for),
		cmocka_unit_test(names_are_remembered_by_file_and_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
