/* SPDX-License-Identifier: MIT */
/* daytimed's log: whole lines, none waited for, what is lost counted. */
#include "unit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daytime/log.h"
#include "daytime/server.h"

static void a_blocked_log_drops_and_tells(void **state)
{
	static struct log l;
	static char bytes[1 << 20];
	int ends[2], lines = 0;
	ssize_t n;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	log_open(&l, ends[1], "d: ");
	for (int i = 0; i < 20000; i++) /* nobody reads */
		log_line(&l, "line %d of the test, of a length that fills the pipe soon", i);
	assert_true(l.lost > 10000);
	assert_true(log_flush(&l));
	n = read(ends[0], bytes, sizeof(bytes));
	assert_true(n > 0);
	assert_memory_equal(bytes, "d: line 0 of", 12);
	for (ssize_t i = 0; i < n; i++)
		lines += bytes[i] == '\n';
	log_line(&l, "after");
	n = read(ends[0], bytes, sizeof(bytes) - 1);
	bytes[n] = '\0';
	assert_non_null(strstr(bytes, " log lines lost\nd: after\n"));
	for (ssize_t i = 0; i < n; i++)
		lines += bytes[i] == '\n';
	assert_int_equal((uint64_t)lines - 2 + l.lost, 20000);
	log_close(&l);
	close(ends[0]);
	close(ends[1]);
}

/* A pipe that holds one page takes more than that in part, and would take it up to the middle of a
 * line, with another worker's line next. */
static void what_a_pipe_takes_at_a_time_ends_in_a_line_end(void **state)
{
	static struct log l;
	static char bytes[LOG_CAP];
	bool polled[] = { false, true };
	int ends[2], lines = 0;

	for (size_t k = 0; k < 2; k++) {
		assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
		assert_int_equal(fcntl(ends[1], F_SETPIPE_SZ, 4096), 4096);
		log_open(&l, ends[1], "");
		l.polled = polled[k]; /* as where /proc is missing */
		for (int i = 0; i < 200; i++)
			log_add(&l,
				"a line that is 60 bytes long with its end, so that 4096 is odd",
				59);
		for (bool more = true; more;) {
			ssize_t n;

			more = log_flush(&l);
			n = read(ends[0], bytes, sizeof(bytes));
			assert_in_range(n, 60, 4096);
			assert_int_equal(bytes[n - 1], '\n');
			lines += (int)n / 60;
		}
		assert_int_equal(l.lost, 0);
		log_close(&l);
		close(ends[0]);
		close(ends[1]);
	}
	assert_int_equal(lines, 2 * 200);
}

/* At the end of a worker nobody comes to hand on what waits: it counts as lost. */
static void lines_that_wait_at_the_end_are_lost_and_counted(void **state)
{
	static struct log l;
	static char bytes[1 << 20];
	int ends[2], lines = 0;
	ssize_t n;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	log_open(&l, ends[1], "");
	for (int i = 0; i < 20000; i++) /* nobody reads */
		log_line(&l, "line %d of the test, of a length that fills the pipe soon", i);
	log_end(&l);
	assert_int_equal(l.len, 0);
	n = read(ends[0], bytes, sizeof(bytes));
	for (ssize_t i = 0; i < n; i++)
		lines += bytes[i] == '\n';
	assert_int_equal((uint64_t)lines + l.lost, 20000);
	log_add(&l, "there is room", 13);
	log_end(&l);
	assert_int_equal((uint64_t)lines + l.lost, 20000);
	log_close(&l);
	close(ends[0]);
	close(ends[1]);
}

static void a_log_that_fails_loses_only_itself(void **state)
{
	static struct log l;
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC), ends[2];
	char bytes[64];

	log_open(&l, fd, "");
	log_line(&l, "one");
	log_line(&l, "two");
	assert_true(l.lost >= 2);
	log_close(&l);
	close(fd);
	log_open(&l, 1000, ""); /* closed */
	log_line(&l, "three");
	assert_int_equal(l.lost, 1);
	log_close(&l);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	log_open(&l, ends[0], "");
	assert_true(l.socket);
	log_line(&l, "four");
	assert_int_equal(read(ends[1], bytes, sizeof(bytes)), 5);
	l.socket = false; /* as where /proc is missing */
	l.polled = true;
	log_line(&l, "five");
	assert_int_equal(read(ends[1], bytes, sizeof(bytes)), 5);
	log_close(&l);
	close(ends[0]);
	close(ends[1]);
}

static void a_line_is_added_whole_or_cut(void **state)
{
	static struct log l;
	char long_one[LOG_LINE], bytes[2 * LOG_LINE];
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	log_open(&l, ends[0], "d: ");
	log_add(&l, "one", 3);
	assert_int_equal(recv(ends[1], bytes, sizeof(bytes), MSG_DONTWAIT), -1); /* it waits */
	memset(long_one, 'x', sizeof(long_one));
	log_add(&l, long_one, sizeof(long_one));
	assert_false(log_flush(&l));
	assert_int_equal(read(ends[1], bytes, sizeof(bytes)), 7 + LOG_LINE);
	assert_memory_equal(bytes, "d: one\nd: xxx", 12);
	assert_memory_equal(bytes + 7 + LOG_LINE - 3, "xx\n", 3);
	assert_int_equal(l.lost, 0);
	log_close(&l);
	close(ends[1]);
}

static void events_are_logged_once_a_second(void **state)
{
	struct log_gate g = { 0 };

	assert_true(log_gate_pass(&g, 5));
	assert_false(log_gate_pass(&g, 6));
	assert_false(log_gate_pass(&g, 999999999));
	assert_int_equal(g.skipped, 2);
	assert_true(log_gate_pass(&g, 1000000005));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_blocked_log_drops_and_tells),
		cmocka_unit_test(what_a_pipe_takes_at_a_time_ends_in_a_line_end),
		cmocka_unit_test(lines_that_wait_at_the_end_are_lost_and_counted),
		cmocka_unit_test(a_log_that_fails_loses_only_itself),
		cmocka_unit_test(a_line_is_added_whole_or_cut),
		cmocka_unit_test(events_are_logged_once_a_second),
	};

	return cmocka_run_group_tests_name("daytime_log", tests, NULL, NULL);
}
