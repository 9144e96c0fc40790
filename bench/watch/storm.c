/* SPDX-License-Identifier: MIT */
/* A connection storm on loopback: a textbook server (accept, write, close) and clients that
 * connect, read to the end of the stream and close, as fast as they can. storm SECONDS CLIENTS
 * prints the connections per second, and the microseconds of CPU that server and clients took for
 * each. It runs in a network namespace of its own: its TIME_WAIT entries end with it. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LINE "Sun Nov 22 19:00:00 2026\r\n"

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

static void serve(int ls)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		int fd = accept(ls, NULL, NULL);

		if (fd < 0)
			die("accept");
		if (write(fd, LINE, sizeof(LINE) - 1) < 0)
			die("write");
		close(fd);
	}
}

/* Every client has a loopback address of its own, so that TIME_WAIT does not use up the ports. */
static void ask(unsigned number, const struct sockaddr_in *to, double end, uint64_t *count)
{
	char line[64];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (uint64_t i = 0; now() < end; i++) {
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
	_exit(0);
}

static void own_network(void)
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

static double microseconds(struct timeval t)
{
	return (double)t.tv_sec * 1e6 + (double)t.tv_usec;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 2, begun, took;
	unsigned clients = argc > 2 ? (unsigned)atoi(argv[2]) : 2;
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001) };
	socklen_t len = sizeof(at);
	int ls, status;
	struct rusage used;
	uint64_t *counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
				0),
		 sum = 0;
	pid_t server;

	if (clients < 1 || clients > 8 || counts == MAP_FAILED)
		return 2;
	own_network();
	ls = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(ls, (struct sockaddr *)&at, len) || listen(ls, 1024))
		die("listen");
	getsockname(ls, (struct sockaddr *)&at, &len);
	server = fork();
	if (server == 0)
		serve(ls);
	begun = now();
	for (unsigned i = 0; i < clients; i++)
		if (fork() == 0) {
			close(ls); /* so that nobody connects where no server is left */
			ask(i + 1, &at, begun + seconds, &counts[i * 64]);
		}
	for (unsigned i = 0; i < clients; i++)
		if (wait(&status) < 0 || status)
			return 1;
	for (unsigned i = 0; i < clients; i++)
		sum += counts[i * 64];
	took = now() - begun;
	kill(server, SIGKILL);
	waitpid(server, &status, 0);
	getrusage(RUSAGE_CHILDREN, &used);
	printf("%.0f %.3f\n", (double)sum / took,
	       (microseconds(used.ru_utime) + microseconds(used.ru_stime)) / (double)sum);
	return 0;
}
