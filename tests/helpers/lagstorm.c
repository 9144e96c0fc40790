/* SPDX-License-Identifier: MIT */
/* Closes sockets whose peers have closed, on several CPUs at the same moment.
 *   lagstorm CPUS PORTS ENDS
 * At a line of its standard input it makes PORTS listeners with ENDS connections each, whose other
 * ends close at once, and prints "made". At the next one a thread on each of CPUS CPUs goes from
 * port to port. There the first closes one end alone; then all wait for each other before each that
 * they close. It prints "closed", and ends with its standard input. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CPUS_MOST  64
#define SPINS_MOST 10000 /* before another program on this CPU has its turn */

static int cpus, ports, ends;
static int *accepted; /* ends of the first port, then of the next */
static atomic_int arrived;

static void die(const char *what)
{
	perror(what);
	_exit(1);
}

static int listen_anywhere(struct sockaddr_in *at)
{
	socklen_t len = sizeof(*at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*at = (struct sockaddr_in){ .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (fd < 0 || bind(fd, (struct sockaddr *)at, len) || listen(fd, 1) ||
	    getsockname(fd, (struct sockaddr *)at, &len))
		die("listening");
	return fd;
}

/* The end that was accepted; the other has closed. */
static int half_closed(int listener, const struct sockaddr_in *at)
{
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;

	if (client < 0 || connect(client, (const struct sockaddr *)at, sizeof(*at)))
		die("connecting");
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		die("accepting");
	close(client);
	return fd;
}

static void make_ends(void)
{
	struct rlimit files = { .rlim_cur = (rlim_t)ports * ends + 64 };
	struct sockaddr_in at;

	files.rlim_max = files.rlim_cur;
	if (setrlimit(RLIMIT_NOFILE, &files))
		die("allowing so many descriptors");
	accepted = calloc((size_t)ports * ends, sizeof(*accepted));
	if (!accepted)
		die("finding memory");
	for (int i = 0; i < ports * ends; i++) {
		static int listener = -1;

		if (i % ends == 0) {
			close(listener);
			listener = listen_anywhere(&at);
		}
		accepted[i] = half_closed(listener, &at);
	}
}

/* All leave at the same moment, as near as it can be had. */
static void meet(int *meetings)
{
	int all = ++*meetings * cpus;

	atomic_fetch_add(&arrived, 1);
	for (int spins = 0; atomic_load(&arrived) < all; spins++)
		if (spins % SPINS_MOST == SPINS_MOST - 1)
			sched_yield();
}

static void *run(void *arg)
{
	int number = (int)(long)arg, meetings = 0;

	for (int i = 0; i < ports; i++) {
		if (number == 0)
			close(accepted[i * ends]);
		for (int j = 1 + number; j < ends; j += cpus) {
			meet(&meetings);
			close(accepted[i * ends + j]);
		}
	}
	return NULL;
}

static void pin(pthread_t thread, const cpu_set_t *allowed, int number)
{
	cpu_set_t one;
	int cpu = 0;

	for (; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, allowed) && number-- == 0)
			break;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (cpu == CPU_SETSIZE || pthread_setaffinity_np(thread, sizeof(one), &one))
		die("keeping to one CPU");
}

static void close_all(void)
{
	pthread_t threads[CPUS_MOST];
	cpu_set_t allowed;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		die("looking for CPUs");
	threads[0] = pthread_self();
	for (int i = 0; i < cpus; i++) {
		if (i && pthread_create(&threads[i], NULL, run, (void *)(long)i))
			die("making a thread");
		pin(threads[i], &allowed, i);
	}
	run(NULL);
	for (int i = 1; i < cpus; i++)
		pthread_join(threads[i], NULL);
}

static void do_at_a_line(void (*what)(void), const char *done)
{
	if (getchar() == EOF)
		exit(1);
	what();
	puts(done);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	cpus = atoi(argv[1]);
	ports = atoi(argv[2]);
	ends = atoi(argv[3]);
	if (cpus < 1 || cpus > CPUS_MOST || ports < 1 || ends < 1 || (ends - 1) % cpus)
		return 2;
	do_at_a_line(make_ends, "made");
	do_at_a_line(close_all, "closed");
	while (getchar() != EOF)
		;
	return 0;
}
