/* SPDX-License-Identifier: MIT */
/* The live doctor over a kernel of this test's own: what is said of what it sends, also where
 * memory is lacking, stacks are not read, and addresses are used again. */
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "doctor/watch.h"
#include "kernel/unwind.h"
#include "tcp/state.h"

#define TICK_NS   4000000
#define MOST_LATE 8192 /* as in watch_late.c */

/* What the kernel has, and does. */
static struct {
	struct watch_event *events; /* on their way */
	unsigned count;
	struct watch_stack *stack; /* the same; NULL: none */
	watch_event_fn *each;
	void *arg;
	struct watch_owner owners[16]; /* in the order in which a walk comes to them */
	unsigned owner_count;
	void (*in_walk)(void); /* happens in the next walk, after its first owner */
	int search_fails, walk_fails;
	unsigned searches, walks;
} kernel;

static uint64_t passed; /* on the clock, by this test's own doing */

int clock_gettime(clockid_t id, struct timespec *ts)
{
	long r = syscall(SYS_clock_gettime, id, ts);

	ts->tv_sec += (time_t)(passed / CLOCK_NS_PER_S);
	return (int)r;
}

static struct watch *const the_watch = (struct watch *)&kernel;

int watch_open(struct watch **out, const struct watch_setup *setup, struct err *e)
{
	*out = the_watch;
	return 0;
}

void watch_close(struct watch *w)
{
	free(kernel.events);
	free(kernel.stack);
	memset(&kernel, 0, sizeof(kernel));
}

void watch_detach(struct watch *w)
{
}

/* Turns are made without waiting for anything. */
static int never_readable(int *fd)
{
	if (*fd < 0)
		*fd = eventfd(0, EFD_CLOEXEC);
	return *fd;
}

int watch_fd(const struct watch *w)
{
	static int fd = -1;

	return never_readable(&fd);
}

int watch_stack_fd(const struct watch *w)
{
	static int fd = -1;

	return never_readable(&fd);
}

bool watch_sees_all_processes(const struct watch *w)
{
	return true;
}

int watch_drain(struct watch *w, watch_event_fn *each, void *arg, struct err *e)
{
	struct watch_event *events = kernel.events;
	unsigned count = kernel.count;

	kernel.each = each;
	kernel.arg = arg;
	kernel.events = NULL;
	kernel.count = 0;
	for (unsigned i = 0; i < count; i++)
		each(&events[i], arg);
	free(events);
	return 0;
}

int watch_stacks(struct watch *w, watch_stack_fn *each, void *arg, struct err *e)
{
	struct watch_stack *stack = kernel.stack;

	kernel.stack = NULL;
	if (stack)
		each(stack, arg);
	free(stack);
	return 0;
}

static int search(watch_event_fn *each, void *arg, struct watch_found *found, struct err *e)
{
	if (kernel.search_fails)
		return err_set(e, kernel.search_fails, "the search");
	*found = (struct watch_found){ .next = (uint64_t)clock_mono_ns(), .tick_ns = TICK_NS };
	return watch_drain(the_watch, each, arg, e);
}

int watch_turn(struct watch *w, watch_event_fn *each, void *arg, struct watch_found *found,
	       struct err *e)
{
	kernel.searches++;
	return search(each, arg, found, e);
}

int watch_glance(struct watch *w, uint64_t ahead, watch_event_fn *each, void *arg,
		 struct watch_found *found, struct err *e)
{
	return search(each, arg, found, e);
}

void watch_marked(struct watch *w, watch_site_fn *each, void *arg)
{
}

int watch_look(struct watch *w, uint64_t sk, uint64_t began, struct err *e)
{
	return 0;
}

int watch_owners(struct watch *w, bool take_in, watch_owner_fn *each, void *arg, struct err *e)
{
	void (*in_walk)(void) = kernel.in_walk;

	kernel.walks++;
	if (kernel.walk_fails)
		return err_set(e, kernel.walk_fails, "the walk");
	kernel.in_walk = NULL;
	for (unsigned i = 0; i < kernel.owner_count; i++) {
		each(&kernel.owners[i], arg);
		if (!i && in_walk)
			in_walk();
	}
	return 0;
}

int watch_owners_of(struct watch *w, const uint64_t *files, unsigned count, watch_owner_fn *each,
		    void *arg, struct err *e)
{
	return watch_owners(w, false, each, arg, e);
}

bool watch_was_crowded(struct watch *w)
{
	return false;
}

int watch_listener(struct watch *w, uint64_t sk, uint64_t began, uint64_t *listener, struct err *e)
{
	*listener = 0;
	return 0;
}

int watch_settle_claims(struct watch *w, watch_event_fn *each, void *arg, struct err *e)
{
	return 0;
}

void watch_audits(struct watch *w, bool audits)
{
}

int watch_take_in(struct watch *w, struct err *e)
{
	return 0;
}

void watch_take_in_since(struct watch *w, uint64_t since)
{
}

void watch_forget_stacks(struct watch *w, uint32_t oldest)
{
}

int watch_suspect(struct watch *w, pid_t pid, struct err *e)
{
	return 0;
}

int watch_add_pid(struct watch *w, pid_t pid, struct err *e)
{
	return 0;
}

uint64_t watch_missed_changes(const struct watch *w)
{
	return 0;
}

uint64_t watch_missed(const struct watch *w)
{
	return 0;
}

uint64_t watch_followed(const struct watch *w)
{
	return 0;
}

struct watch_counts watch_counts(const struct watch *w)
{
	return (struct watch_counts){ 0 };
}

/* While it is held, reading a stack does not end. */
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static bool is_held;

static void hold(void)
{
	pthread_mutex_lock(&held);
	is_held = true;
}

static void let_go(void)
{
	if (is_held)
		pthread_mutex_unlock(&held);
	is_held = false;
}

/* For the next test also after one that has failed. */
static int clean_up(void **state)
{
	let_go();
	watch_close(the_watch);
	return 0;
}

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
	pthread_mutex_lock(&held);
	pthread_mutex_unlock(&held);
	memset(out, 0, sizeof(*out));
}

/* What was said, each line as its event, its cause, the socket and how many hold it: "half-closed
 * told 7 1\n". */
static char said[1 << 20];
static size_t said_len;
static struct tw_line last;

static void keep_line(const struct tw_line *line, void *arg)
{
	const char *note = line->told_stack ? line->told_stack->note : "";

	last = *line;
	said_len += (size_t)snprintf(said + said_len, sizeof(said) - said_len, "%s %s %u %u%s%s\n",
				     tw_what_name(line->what), tcp_cause_name(line->cause),
				     (unsigned)line->sample.local.port, line->owner_count,
				     *note ? " " : "", note);
	assert_true(said_len < sizeof(said));
}

/* All that was said since the last time. */
static void assert_said(const char *wanted)
{
	assert_string_equal(said, wanted);
	said_len = 0;
	said[0] = '\0';
}

static struct doctor *start(bool by_owner)
{
	struct doctor_setup setup = { .skip_present = true };
	struct doctor *d = NULL;
	struct err e = { 0 };

	setup.watch.rules.after = CLOCK_NS_PER_S;
	setup.watch.rules.stacks = true;
	setup.watch.rules.by_owner = by_owner;
	said_len = 0;
	said[0] = '\0';
	assert_int_equal(doctor_open(&d, &setup, keep_line, NULL, &e), 0);
	return d;
}

static void send_event(const struct watch_event *ev)
{
	kernel.events = reallocarray(kernel.events, kernel.count + 1, sizeof(*kernel.events));
	assert_non_null(kernel.events);
	kernel.events[kernel.count++] = *ev;
}

/* Of an end in CLOSE_WAIT whose program was told. Its port is its socket's number. */
static struct watch_event event(enum watch_kind kind, uint64_t sk, uint64_t began)
{
	struct watch_event ev = {
		.kind = kind,
		.state = TCPS_CLOSE_WAIT,
		.family = AF_INET,
		.inode = 5,
		.sk = sk,
		.file = 1000 + sk,
		.at = (uint64_t)clock_mono_ns(),
		.conn = { .began = began,
			  .since = began,
			  .fin_at = began,
			  .told_at = began,
			  .flags = WATCH_HOLDER | WATCH_REPORTED | WATCH_TOLD },
		.local_port = (uint16_t)sk,
		.peer_port = 80,
	};

	return ev;
}

static void send_one(enum watch_kind kind, uint64_t sk, uint64_t began)
{
	struct watch_event ev = event(kind, sk, began);

	send_event(&ev);
}

/* One that shows a stack. */
static void send_report(uint64_t sk, uint64_t began, uint32_t site)
{
	struct watch_event ev = event(WATCH_REPORT, sk, began);

	ev.conn.told_site = site;
	send_event(&ev);
}

static void copy_stack(uint32_t site)
{
	kernel.stack = calloc(1, sizeof(*kernel.stack));
	assert_non_null(kernel.stack);
	kernel.stack->site = site;
}

static void owns(uint64_t sk, uint64_t began, uint32_t pid)
{
	kernel.owners[kernel.owner_count++] =
		(struct watch_owner){ .sk = sk, .began = began, .tgid = pid, .fd = 3, .start = 9 };
}

static void turn(struct doctor *d)
{
	struct err e = { 0 };
	int wait_ms;

	assert_int_equal(doctor_turn(d, &wait_ms, &e), 0);
}

/* The end of the watch. */
static void finish(struct doctor *d)
{
	struct err e = { 0 };

	assert_int_equal(doctor_finish(d, &e), 0);
}

static uint64_t forgotten(const struct doctor *d)
{
	return doctor_summary(d).losses.forgotten;
}

static void a_report_is_said_with_its_owners(void **state)
{
	struct doctor *d = start(false);

	owns(1, 10, 7);
	send_one(WATCH_REPORT, 1, 10);
	turn(d);
	assert_said("half-closed told 1 1\n");
	send_one(WATCH_END, 1, 10);
	turn(d);
	assert_said("over told 1 1\n");
	assert_int_equal(forgotten(d), 0);
	doctor_close(d);
}

#define NOT_READ " the stack is not read yet\n"

/* Six programs whose files nobody can read: the end waits for all at once. */
static void the_end_waits_once_for_all_stacks(void **state)
{
	struct doctor *d = start(false);
	int64_t before;

	hold();
	for (uint32_t i = 1; i <= 6; i++) {
		owns(i, 10, i);
		copy_stack(i);
		send_report(i, 10, i);
		turn(d);
	}
	assert_said("");
	before = clock_mono_ns();
	finish(d);
	assert_true(clock_mono_ns() - before < 9 * CLOCK_NS_PER_S);
	assert_said("half-closed told 1 1" NOT_READ "half-closed told 2 1" NOT_READ
		    "half-closed told 3 1" NOT_READ "half-closed told 4 1" NOT_READ
		    "half-closed told 5 1" NOT_READ "half-closed told 6 1" NOT_READ);
	let_go();
	doctor_close(d);
}

/* Then what comes is said without its stack, and nobody waits. */
static void no_turn_waits_where_too_many_lines_do(void **state)
{
	struct doctor *d = start(false);
	int64_t before;

	hold();
	copy_stack(1);
	for (uint32_t i = 1; i <= MOST_LATE; i++)
		send_report(i, 10, 1);
	turn(d);
	assert_said("");
	before = clock_mono_ns();
	send_report(MOST_LATE + 1, 10, 1);
	turn(d);
	assert_said("half-closed told 8193 0" NOT_READ);
	send_one(WATCH_END, 7, 10);
	turn(d);
	assert_said("half-closed told 7 0" NOT_READ "over told 7 0\n");
	assert_true(clock_mono_ns() - before < 3 * CLOCK_NS_PER_S);
	let_go();
	doctor_close(d);
}

/* One waits for its stack when another comes due at the same address. */
static void a_line_that_waits_for_its_stack_is_said_before_its_address_is_another_s(void **state)
{
	struct doctor *d = start(false);

	hold();
	owns(1, 10, 7);
	copy_stack(1);
	send_report(1, 10, 1);
	turn(d);
	send_one(WATCH_END, 1, 10);
	turn(d);
	assert_said("");
	kernel.owner_count = 0;
	owns(1, 20, 8);
	send_one(WATCH_REPORT, 1, 20);
	turn(d);
	assert_said("half-closed told 1 1" NOT_READ "over told 1 1\n"
		    "half-closed told 1 1\n");
	assert_int_equal(last.owners[0].pid, 8);
	assert_int_equal(doctor_summary(d).reported, 2);
	let_go();
	doctor_close(d);
}

/* The same of one that waits for its partner, and has not ended, as far as is known. */
static void a_line_that_waits_for_its_partner_is_said_before_its_address_is_another_s(void **state)
{
	struct doctor *d = start(false);
	struct watch_event ev = event(WATCH_REPORT, 1, 10);

	ev.conn.flags = WATCH_CLOSED | WATCH_REPORTED;
	ev.state = TCPS_FIN_WAIT2;
	owns(1, 10, 7);
	send_event(&ev);
	turn(d);
	assert_said("");
	send_one(WATCH_REPORT, 1, 20);
	turn(d);
	assert_said("half-closed half-closed-here 1 1\nhalf-closed told 1 0\n");
	doctor_close(d);
}

/* The whole of it comes at once, before anybody has looked for an owner. */
static void a_fresh_report_is_said_before_its_address_is_another_s(void **state)
{
	struct doctor *d = start(false);
	struct watch_event ev = event(WATCH_REPORT, 1, 10);

	ev.conn.flags &= ~(uint32_t)WATCH_TOLD; /* nor is it known that it has no descriptor */
	send_event(&ev);
	send_one(WATCH_REPORT, 2, 10);
	ev.kind = WATCH_END;
	send_event(&ev);
	owns(1, 20, 8);
	send_one(WATCH_REPORT, 1, 20);
	turn(d);
	assert_said("half-closed drained 1 0\nover drained 1 0\n"
		    "half-closed told 2 0\nhalf-closed told 1 1\n");
	assert_int_equal(doctor_summary(d).reported, 3);
	assert_int_equal(forgotten(d), 0);
	doctor_close(d);
}

static void match_another(void)
{
	struct watch_event ev = event(WATCH_REPORT, 2, 10);

	kernel.each(&ev, kernel.arg);
}

/* With --pid: a look at those who hold one end matches another, whose first holder it has passed.
 */
static void an_end_that_a_look_for_another_matches_has_all_its_owners(void **state)
{
	struct doctor *d = start(true);
	struct watch_event ev = event(WATCH_REPORT, 1, 10);

	ev.conn.flags |= WATCH_OTHERS;
	owns(2, 10, 6);
	owns(1, 10, 7);
	owns(2, 10, 7);
	kernel.in_walk = match_another;
	send_event(&ev);
	turn(d);
	assert_said("half-closed told 1 1\nhalf-closed shared 2 2\n");
	assert_int_equal(kernel.walks, 2);
	doctor_close(d);
}

static void a_search_that_finds_no_memory_is_tried_again(void **state)
{
	struct doctor *d = start(false);
	struct err e = { 0 };
	int wait_ms = 0;

	kernel.search_fails = -ENOMEM;
	turn(d);
	assert_int_equal(kernel.searches, 1);
	assert_int_equal(doctor_turn(d, &wait_ms, &e), 0);
	assert_int_equal(kernel.searches, 1);
	assert_in_range(wait_ms, 1, 100);
	assert_int_equal(forgotten(d), 1);
	passed += CLOCK_NS_PER_S;
	turn(d);
	assert_int_equal(kernel.searches, 2);
	assert_int_equal(forgotten(d), 1);
	kernel.search_fails = 0;
	passed += CLOCK_NS_PER_S;
	owns(1, 10, 7);
	send_one(WATCH_REPORT, 1, 10);
	turn(d);
	assert_int_equal(kernel.searches, 3);
	assert_said("half-closed told 1 1\n");
	kernel.search_fails = -EAGAIN;
	passed += CLOCK_NS_PER_S;
	turn(d);
	assert_int_equal(kernel.searches, 4);
	assert_int_equal(forgotten(d), 2);
	doctor_close(d);
}

static void a_watch_that_finds_no_memory_for_a_minute_ends(void **state)
{
	struct doctor *d = start(false);
	struct err e = { 0 };
	int wait_ms;

	kernel.search_fails = -ENOMEM;
	turn(d);
	passed += 59 * CLOCK_NS_PER_S;
	turn(d);
	passed += 2 * CLOCK_NS_PER_S;
	assert_int_equal(doctor_turn(d, &wait_ms, &e), -ENOMEM);
	assert_string_equal(e.text, "the search");
	doctor_close(d);
}

/* Its line waits for the next walk, and what is heard of it waits behind it. */
static void owners_for_which_there_is_no_memory_are_looked_for_again(void **state)
{
	struct doctor *d = start(false);
	struct err e = { 0 };
	int wait_ms;

	owns(1, 10, 7);
	kernel.walk_fails = -ENOMEM;
	send_one(WATCH_REPORT, 1, 10);
	turn(d);
	send_one(WATCH_END, 1, 10);
	assert_int_equal(doctor_turn(d, &wait_ms, &e), 0);
	assert_in_range(wait_ms, 0, 100);
	assert_int_equal(kernel.walks, 1);
	assert_said("");
	kernel.walk_fails = 0;
	passed += CLOCK_NS_PER_S;
	turn(d);
	assert_said("half-closed told 1 1\nover told 1 1\n");
	doctor_close(d);
}

/* What the kernel has reported by then is said at the end. That nobody holds it is not known. */
static void a_report_is_said_after_an_error(void **state)
{
	struct doctor *d = start(false);
	struct watch_event ev = event(WATCH_REPORT, 1, 10);
	struct err e = { 0 };
	int wait_ms;

	ev.conn.flags &= ~(uint32_t)WATCH_TOLD;
	kernel.walk_fails = -EMFILE;
	send_event(&ev);
	assert_int_equal(doctor_turn(d, &wait_ms, &e), -EMFILE);
	assert_said("");
	finish(d);
	assert_said("half-closed drained 1 0\n");
	doctor_close(d);
}

/* A jiffy is 4 ms here. */
static void a_send_that_was_long_ago_was_long_ago(void **state)
{
	struct doctor *d = start(false);
	struct watch_event ev = event(WATCH_REPORT, 1, 10);

	turn(d);
	ev.sent_jiffies = 250;
	send_event(&ev);
	passed += CLOCK_NS_PER_S;
	turn(d);
	assert_int_equal(last.sample.last_data_sent_ms, 1000);
	ev.sk = 2;
	ev.sent_jiffies = UINT32_MAX / 4 + 2;
	send_event(&ev);
	passed += CLOCK_NS_PER_S;
	turn(d);
	assert_int_equal(last.sample.last_data_sent_ms, UINT32_MAX);
	doctor_close(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(a_report_is_said_with_its_owners, clean_up),
		cmocka_unit_test_teardown(the_end_waits_once_for_all_stacks, clean_up),
		cmocka_unit_test_teardown(no_turn_waits_where_too_many_lines_do, clean_up),
		cmocka_unit_test_teardown(
			a_line_that_waits_for_its_stack_is_said_before_its_address_is_another_s,
			clean_up),
		cmocka_unit_test_teardown(
			a_line_that_waits_for_its_partner_is_said_before_its_address_is_another_s,
			clean_up),
		cmocka_unit_test_teardown(a_fresh_report_is_said_before_its_address_is_another_s,
					  clean_up),
		cmocka_unit_test_teardown(an_end_that_a_look_for_another_matches_has_all_its_owners,
					  clean_up),
		cmocka_unit_test_teardown(a_search_that_finds_no_memory_is_tried_again, clean_up),
		cmocka_unit_test_teardown(a_watch_that_finds_no_memory_for_a_minute_ends, clean_up),
		cmocka_unit_test_teardown(owners_for_which_there_is_no_memory_are_looked_for_again,
					  clean_up),
		cmocka_unit_test_teardown(a_report_is_said_after_an_error, clean_up),
		cmocka_unit_test_teardown(a_send_that_was_long_ago_was_long_ago, clean_up),
	};

	return cmocka_run_group_tests_name("doctor", tests, NULL, NULL);
}
