/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/netns.h"

#define NO_PROCESS "/proc/1073741823/ns/net"

static int note_where(void *arg, struct err *e)
{
	*(uint64_t *)arg = netns_own();
	return 0;
}

/* A process in a network namespace of its own; -1 where none may be made. */
static pid_t start(uint64_t *ino)
{
	char path[64], byte;
	struct stat st;
	int ready[2];
	pid_t pid;

	if (pipe(ready) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWNET) < 0 || write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		pid = -1;
	close(ready[0]);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	*ino = stat(path, &st) == 0 ? st.st_ino : 0;
	return pid;
}

static void a_namespace_outlives_the_process_that_led_to_it(void **state)
{
	struct netns ns = { .path = NO_PROCESS };
	uint64_t home = netns_own(), where = 0;
	struct err e = { 0 };
	pid_t pid = start(&ns.ino);

	if (pid < 0)
		skip();
	assert_int_equal(netns_run(&ns, note_where, &where, &e), 0);
	assert_true(where == ns.ino);
	assert_true(netns_own() == home);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void a_namespace_that_ended_is_said_to_be_gone(void **state)
{
	struct netns ns = { .ino = 5, .path = NO_PROCESS };
	struct netns other = { .ino = 5, .path = "/proc/self/ns/net" };
	uint64_t where = 0;
	struct err e = { 0 };

	assert_int_equal(netns_run(&ns, note_where, &where, &e), -ESTALE);
	assert_string_equal(e.text, "network namespace 5 is gone");
	assert_int_equal(netns_run(&other, note_where, &where, &e), -ESTALE);
	assert_true(where == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_namespace_outlives_the_process_that_led_to_it),
		cmocka_unit_test(a_namespace_that_ended_is_said_to_be_gone),
	};

	return cmocka_run_group_tests_name("netns", tests, NULL, NULL);
}
