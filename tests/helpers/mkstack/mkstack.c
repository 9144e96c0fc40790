/* SPDX-License-Identifier: MIT */
/* Reads the end of a stream in a function of a known name at a known line, and says when; then sits
 * on the connection until its standard input ends. Several ways lead to the same read:
 *   mkstack WAY...
 *     direct, detour
 *     mangled                           by functions with names as C++ and Rust give them
 *     deep                              by 60 calls
 *     wide, filled                      by one with 64 KiB on the stack that it uses not, or all
 *     twice                             by two such
 *     thread-direct, ...                in a thread
 *     accepted-direct, accepted-detour  of one that was accepted; else it has connected
 *     in-time                           closes at once
 *     many                              450 that close at once, each by a way of its own
 *   mkstack leaderless WAY...           all in a thread, once the main thread has ended
 * It prints, for each way, its local address and the CLOCK_REALTIME of the read, in nanoseconds. It
 * makes and accepts its connections in functions of their own. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define KEEP __attribute__((noinline, noclone, noipa))

static volatile int sink; /* keeps the calls below from being tail calls */

KEEP static ssize_t read_to_the_end(int fd)
{
	char c;
	ssize_t n = recv(fd, &c, 1, 0); /* LINE: the read */

	sink++;
	return n;
}

KEEP static ssize_t detour(int fd)
{
	ssize_t n = read_to_the_end(fd);

	sink++;
	return n;
}

KEEP static ssize_t direct(int fd)
{
	ssize_t n = read_to_the_end(fd);

	sink++;
	return n;
}

static ssize_t of_cplusplus(int fd) __asm__("_ZN3net7HandlerIiE8read_allEi.isra.0");
static ssize_t
of_rust(int fd) __asm__("_RNvMs7_NtNtCsjrHSEGnQ3l9_3std3net3tcpNtB5_11TcpListener6accept");

KEEP static ssize_t of_cplusplus(int fd)
{
	ssize_t n = read_to_the_end(fd);

	sink++;
	return n;
}

KEEP static ssize_t of_rust(int fd)
{
	ssize_t n = of_cplusplus(fd);

	sink++;
	return n;
}

KEEP static ssize_t deep(int fd, int calls)
{
	ssize_t n = calls ? deep(fd, calls - 1) : read_to_the_end(fd);

	sink++;
	return n;
}

KEEP static ssize_t wide(int fd)
{
	volatile char room[64 << 10];
	ssize_t n;

	room[0] = 1;
	n = read_to_the_end(fd);
	sink += room[0];
	return n;
}

KEEP static ssize_t filled(int fd, ssize_t (*next)(int))
{
	volatile char room[64 << 10];
	ssize_t n;

	for (size_t i = 0; i < sizeof(room); i++)
		room[i] = (char)i;
	n = next(fd);
	sink += room[1];
	return n;
}

KEEP static ssize_t twice(int fd)
{
	ssize_t n = filled(fd, read_to_the_end);

	sink++;
	return n;
}

KEEP static ssize_t by(const char *way, int fd)
{
	if (!strcmp(way, "mangled"))
		return of_rust(fd);
	if (!strcmp(way, "deep"))
		return deep(fd, 60);
	if (strstr(way, "wide"))
		return wide(fd);
	if (strstr(way, "filled"))
		return filled(fd, read_to_the_end);
	if (!strcmp(way, "twice"))
		return filled(fd, twice);
	return strstr(way, "detour") ? detour(fd) : direct(fd);
}

KEEP static int make_connection(const struct sockaddr_in *to)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (const struct sockaddr *)to, sizeof(*to)))
		exit(1);
	sink++;
	return fd;
}

KEEP static int take_connection(int ls)
{
	int fd = accept(ls, NULL, NULL);

	sink++;
	return fd;
}

KEEP static void run(int ls, const struct sockaddr_in *at, const char *way)
{
	struct sockaddr_in own;
	socklen_t len = sizeof(own);
	struct timespec ts;
	int fd = make_connection(at), other = take_connection(ls);
	int accepted = !strncmp(way, "accepted-", 9);
	int holder = accepted ? other : fd;

	close(accepted ? fd : other);
	if (by(way, holder) != 0)
		exit(1);
	clock_gettime(CLOCK_REALTIME, &ts);
	if (getsockname(holder, (struct sockaddr *)&own, &len))
		exit(1);
	if (!strcmp(way, "in-time"))
		close(holder);
	printf("%s %s:%d %lld\n", way, inet_ntoa(own.sin_addr), ntohs(own.sin_port),
	       ts.tv_sec * 1000000000LL + ts.tv_nsec);
	fflush(stdout);
}

KEEP static ssize_t deep_and_filled(int fd, int calls)
{
	ssize_t n = calls ? deep_and_filled(fd, calls - 1) : filled(fd, read_to_the_end);

	sink++;
	return n;
}

/* Nobody keeps stacks of so many places, of 24 KiB each. The kernel sends 400 in a second. */
KEEP static void many(int ls, const struct sockaddr_in *at)
{
	for (int calls = 0; calls < 450; calls++) {
		int fd = make_connection(at), other = take_connection(ls);

		close(other);
		if (deep_and_filled(fd, calls))
			exit(1);
		close(fd);
		usleep(4000);
	}
	puts("many");
	fflush(stdout);
}

struct job {
	int ls;
	const struct sockaddr_in *at;
	const char *way;
};

static void *run_job(void *arg)
{
	const struct job *j = arg;

	run(j->ls, j->at, j->way);
	return NULL;
}

static void run_in_thread(int ls, const struct sockaddr_in *at, const char *way)
{
	struct job j = { ls, at, way };
	pthread_t thread;

	if (pthread_create(&thread, NULL, run_job, &j) || pthread_join(thread, NULL))
		exit(1);
}

static void *run_all(void *arg)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001) };
	socklen_t len = sizeof(at);
	int ls = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(ls, (struct sockaddr *)&at, len) || listen(ls, 16))
		exit(1);
	getsockname(ls, (struct sockaddr *)&at, &len);
	puts("ready");
	fflush(stdout);
	if (getchar() == EOF) /* until the watch has its eye on this process */
		exit(0);
	for (const char **way = arg; *way; way++)
		if (!strcmp(*way, "many"))
			many(ls, &at);
		else
			(strncmp(*way, "thread-", 7) ? run : run_in_thread)(ls, &at, *way);
	while (getchar() != EOF)
		;
	exit(0);
}

int main(int argc, char **argv)
{
	pthread_t thread;

	if (argc < 2 || strcmp(argv[1], "leaderless"))
		return run_all(argv + 1) != NULL;
	if (pthread_create(&thread, NULL, run_all, argv + 2))
		return 1;
	pthread_exit(NULL);
}
