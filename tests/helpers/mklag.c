/* SPDX-License-Identifier: MIT */
/* Processes that close connections a known time after their peers did, many at a time, and say how
 * long that took. mklag [--v6] Each process holds connections that it accepted and as many that it
 * connected, of its own. It prints "ready", begins at a newline, and prints for each process and
 * kind of end a line of JSON with the two bounds of each time, in nanoseconds: from after the FIN
 * was known to have come to before the close, and from before the FIN was sent to after the close.
 * Ends with its standard input. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/helpers/loopback.h"

#define EACH     200 /* ends of each kind */
#define EVERY_US 2500
/* Every so manyth waits for the time of the rare: 3 of the accepted, the first of which is the
 * 198th of 200, the 99th percentile; 2 of the connected, which are just above that. */
#define ACCEPTED_RARE  66
#define CONNECTED_RARE 80

static const struct {
	const char *comm;
	unsigned accepted_us, accepted_rare_us, connected_us, connected_rare_us;
} kinds[] = {
	{ "mklag-1", 1000, 1000, 1500, 1500 },
	{ "mklag-20", 20000, 20000, 30000, 30000 },
	{ "mklag-300", 300000, 300000, 200000, 200000 },
	{ "mklag-mixed", 5000, 120000, 8000, 60000 },
};
#define PROCESSES (sizeof(kinds) / sizeof(*kinds))

struct end {
	int fd, other;
	int64_t starts, wait; /* when the other end closes, and for how long this one does not */
	int64_t early, late,
		closes; /* the FIN was sent after `early`, and had come before `late` */
	int64_t least, most;
};

static void die(const char *what)
{
	fprintf(stderr, "mklag: ");
	perror(what);
	_exit(1);
}

/* Every second end is an accepted one. */
static int make_ends(bool v6, struct end *ends)
{
	struct sockaddr_storage at;
	socklen_t len;
	int ls = loopback_listen(v6, &at, &len);

	if (ls < 0)
		die("listening on loopback");
	for (unsigned i = 0; i < 2 * EACH; i++) {
		int c = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), s;

		if (c < 0 || connect(c, (struct sockaddr *)&at, len))
			die("connect");
		s = accept4(ls, NULL, NULL, SOCK_CLOEXEC);
		if (s < 0)
			die("accept");
		ends[i] = (struct end){ .fd = i % 2 ? c : s, .other = i % 2 ? s : c };
	}
	return ntohs(((struct sockaddr_in *)&at)->sin_port); /* in the same place in both */
}

static void plan(struct end *ends, unsigned kind)
{
	int64_t now = clock_mono_ns();

	for (unsigned i = 0; i < 2 * EACH; i++) {
		unsigned every = i % 2 ? CONNECTED_RARE : ACCEPTED_RARE, us;
		bool rare = i / 2 % every == every - 1;

		if (i % 2)
			us = rare ? kinds[kind].connected_rare_us : kinds[kind].connected_us;
		else
			us = rare ? kinds[kind].accepted_rare_us : kinds[kind].accepted_us;
		ends[i].starts = now + i * EVERY_US * 1000LL;
		ends[i].wait = us * 1000LL;
	}
}

static void start(struct end *e)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	e->early = clock_mono_ns();
	close(e->other);
	do {
		if (getsockopt(e->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
			die("TCP_INFO");
		e->late = clock_mono_ns();
	} while (info.tcpi_state != TCP_CLOSE_WAIT);
	e->closes = e->late + e->wait;
}

static void finish(struct end *e)
{
	e->least = clock_mono_ns() - e->late;
	close(e->fd);
	e->most = clock_mono_ns() - e->early;
}

/* The end of which something is to be done next, and when; NULL: all is done. */
static struct end *next_end(struct end *ends, int64_t *when)
{
	struct end *next = NULL;

	for (struct end *e = ends; e < ends + 2 * EACH; e++) {
		int64_t at = e->early ? e->closes : e->starts;

		if (e->most || (next && at >= *when))
			continue;
		next = e;
		*when = at;
	}
	return next;
}

static void run(struct end *ends)
{
	struct end *e;
	int64_t when = 0;

	while ((e = next_end(ends, &when))) {
		struct timespec ts = { when / CLOCK_NS_PER_S, when % CLOCK_NS_PER_S };

		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
			;
		if (e->early)
			finish(e);
		else
			start(e);
	}
}

static void print_row(const struct end *ends, unsigned kind, bool connected, int port)
{
	printf("{\"pid\":%d,\"comm\":\"%s\",\"port\":%d,\"by\":\"%s\",\"lags\":[", getpid(),
	       kinds[kind].comm, port, connected ? "connect" : "accept");
	for (unsigned i = connected; i < 2 * EACH; i += 2)
		printf("%s[%lld,%lld]", i < 2 ? "" : ",", (long long)ends[i].least,
		       (long long)ends[i].most);
	printf("]}\n");
}

static void work(bool v6, unsigned kind, int begin, int turn)
{
	static struct end ends[2 * EACH];
	char byte;
	int port;

	prctl(PR_SET_NAME, kinds[kind].comm);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	port = make_ends(v6, ends);
	if (read(begin, &byte, 1) != 1)
		_exit(0);
	plan(ends, kind);
	run(ends);
	if (read(turn, &byte, 1) != 1)
		_exit(1);
	print_row(ends, kind, false, port);
	print_row(ends, kind, true, port);
	fflush(stdout);
	_exit(0);
}

int main(int argc, char **argv)
{
	bool v6 = argc > 1 && !strcmp(argv[1], "--v6");
	struct rlimit files;
	int begin[2], turn[2];

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	puts("ready");
	fflush(stdout);
	if (getchar() == EOF)
		return 0;
	if (pipe(begin) || pipe(turn))
		die("pipe");
	for (unsigned i = 0; i < PROCESSES; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (pid == 0)
			work(v6, i, begin[0], turn[0]);
	}
	if (write(begin[1], "1234", PROCESSES) != PROCESSES)
		die("the beginning");
	for (unsigned i = 0; i < PROCESSES; i++) /* one after the other prints */
		if (write(turn[1], "x", 1) != 1 || wait(NULL) < 0)
			die("a process");
	puts("done");
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
