/* SPDX-License-Identifier: MIT */
#include "storm.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WARM_UP 0.2 /* seconds */
#define LINE    "Sun Nov 22 19:00:00 2026\n"

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void die(const char *what)
{
	fprintf(stderr, "storm: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static const char *date(void)
{
	time_t t = time(NULL);

	return asctime(localtime(&t));
}

static void serve(int ls, bool textbook)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		int fd = accept(ls, NULL, NULL);
		const char *line = textbook ? date() : LINE;

		if (fd < 0)
			die("accept");
		if (write(fd, line, strlen(line)) < 0)
			die("write");
		close(fd);
	}
}

/* Every client has a loopback address of its own, so that TIME_WAIT does not use up the ports. */
static void ask(unsigned number, const struct sockaddr_in *to, _Atomic uint64_t *count)
{
	char line[64];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (uint64_t i = 0;; i++) {
		struct sockaddr_in from = { .sin_family = AF_INET };
		int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

		from.sin_addr.s_addr = htonl(0x7f000000 + number * 65536 + i / 20000 * 16 + 2);
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
		if (fd < 0 || bind(fd, (struct sockaddr *)&from, sizeof(from)))
			die("bind");
		if (connect(fd, (const struct sockaddr *)to, sizeof(*to)))
			die("connect");
		while (read(fd, line, sizeof(line)) > 0)
			;
		close(fd);
		++*count;
	}
}

void storm_network(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd;

	if (unshare(CLONE_NEWNET))
		die("unshare");
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo))
		die("lo");
	close(fd);
}

/* The processor time that a process has taken, in microseconds. */
static double used(pid_t pid)
{
	struct timespec ts;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &ts))
		die("clock_getcpuclockid");
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

struct storm_moment storm_look(const struct storm *s)
{
	struct storm_moment m = { .at = now() };

	for (unsigned i = 0; i < s->clients; i++)
		m.count += s->counts[(size_t)i * 64];
	for (unsigned i = 0; i <= s->clients; i++)
		m.used += used(s->pid[i]);
	return m;
}

void storm_sleep(double seconds)
{
	struct timespec ts = { .tv_sec = (time_t)seconds };

	ts.tv_nsec = (long)((seconds - (double)ts.tv_sec) * 1e9);
	nanosleep(&ts, NULL);
}

void storm_start(struct storm *s, bool textbook, unsigned clients)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001) };
	socklen_t len = sizeof(at);
	int ls = socket(AF_INET, SOCK_STREAM, 0);

	s->clients = clients;
	s->counts = mmap(NULL, sizeof(uint64_t) * 64 * STORM_CLIENTS, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s->counts == MAP_FAILED)
		die("mmap");
	if (bind(ls, (struct sockaddr *)&at, len) || listen(ls, 1024))
		die("listen");
	getsockname(ls, (struct sockaddr *)&at, &len);
	for (unsigned i = 0; i <= s->clients; i++) {
		s->pid[i] = fork();
		if (s->pid[i])
			continue;
		if (i == 0)
			serve(ls, textbook);
		close(ls); /* so that nobody connects where no server is left */
		ask(i, &at, &s->counts[(size_t)(i - 1) * 64]);
	}
	close(ls);
	storm_sleep(WARM_UP);
}

void storm_stop(const struct storm *s)
{
	for (unsigned i = s->clients + 1; i-- > 0;) /* the server last: nobody is refused */
		kill(s->pid[i], SIGKILL);
	for (unsigned i = 0; i <= s->clients; i++)
		waitpid(s->pid[i], NULL, 0);
	munmap((void *)s->counts, sizeof(uint64_t) * 64 * STORM_CLIENTS);
}
