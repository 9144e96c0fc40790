/* SPDX-License-Identifier: MIT */
/* mkread: see mkread.h.
 *   mkread [--v6]
 * prints "ready", and at each newline a line of JSON for every way and end, and "done": first the
 * ends that it connected, which threads of their own read; then those that it accepted, which its
 * first thread reads, and which have been half-closed since the first newline. */
#include "mkread.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/helpers/loopback.h"

#define SAID 100 /* bytes, before a FIN */

struct end {
	const struct way *way;
	int fd;
	int other; /* its peer; -1: closed */
	long gave;
	pid_t tid;
	struct span began, told;
};

void die(const char *what)
{
	fprintf(stderr, "mkread: ");
	perror(what);
	_exit(1);
}

static void await_fin(struct end *e)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	do {
		if (getsockopt(e->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
			die("TCP_INFO");
		e->began.to = wall_ns();
	} while (info.tcpi_state != TCP_CLOSE_WAIT);
}

/* The peer says what it has to say, and closes. */
static void half_close(struct end *e)
{
	char text[SAID] = { 0 };

	if (e->way->with_data && send(e->other, text, SAID, e->way->at_once ? MSG_MORE : 0) != SAID)
		die("send");
	e->began.from = wall_ns();
	close(e->other);
	e->other = -1;
	await_fin(e);
}

APART static void take_in(struct end *e)
{
	e->tid = gettid();
	e->gave = e->way->read(e->fd);
	e->told = told;
}

APART static void *thread(void *arg)
{
	take_in(arg);
	return NULL;
}

static void read_in_thread(struct end *e)
{
	pthread_t reader;

	if (!e->way->waits)
		half_close(e);
	if (pthread_create(&reader, NULL, thread, e))
		die("a thread");
	if (e->way->waits)
		half_close(e);
	if (pthread_join(reader, NULL))
		die("a thread");
	if (e->way->waits && e->told.from < e->began.from)
		e->told.from = e->began.from;
}

static void print_address(int fd, const char *name, int (*ask)(int, struct sockaddr *, socklen_t *))
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	char text[INET6_ADDRSTRLEN];
	bool v6;

	if (ask(fd, (struct sockaddr *)&ss, &len))
		die("a socket's address");
	v6 = ss.ss_family == AF_INET6;
	inet_ntop(ss.ss_family,
		  v6 ? (void *)&((struct sockaddr_in6 *)&ss)->sin6_addr
		     : (void *)&((struct sockaddr_in *)&ss)->sin_addr,
		  text, sizeof(text));
	printf(v6 ? ",\"%s\":\"[%s]:%d\"" : ",\"%s\":\"%s:%d\"", name, text,
	       ntohs(((struct sockaddr_in *)&ss)->sin_port)); /* in the same place in both */
}

static void print_end(const struct end *e, const char *outer)
{
	if (e->gave == -EPERM) {
		printf("{\"way\":\"%s\",\"refused\":true}\n", e->way->name);
		return;
	}
	if (e->gave != e->way->gives) {
		fprintf(stderr, "mkread: %s gave %ld\n", e->way->name, e->gave);
		_exit(1);
	}
	printf("{\"way\":\"%s\",\"refused\":false,\"pid\":%d,\"tid\":%d,\"fd\":%d", e->way->name,
	       getpid(), e->tid, e->fd);
	print_address(e->fd, "local", getsockname);
	print_address(e->fd, "peer", getpeername);
	printf(",\"began\":[%lld,%lld],\"at\":[%lld,%lld]", (long long)e->began.from,
	       (long long)e->began.to, (long long)e->told.from, (long long)e->told.to);
	if (*e->way->functions)
		printf(",\"functions\":\"%s %s\"}\n", e->way->functions, outer);
	else
		printf(",\"functions\":\"\"}\n");
}

static void print_all(const struct end *ends, size_t n, const char *outer)
{
	for (size_t i = 0; i < n; i++)
		print_end(&ends[i], outer);
	puts("done");
	fflush(stdout);
}

/* Pairs of each way: one end is read, the other one closes. */
APART static void make_ends(bool v6, bool accepted, struct end *ends)
{
	struct sockaddr_storage at;
	socklen_t len;
	int ls = loopback_listen(v6, &at, &len);

	if (ls < 0)
		die("listening on loopback");
	for (const struct way *w = ways; w->name; w++, ends++) {
		int c = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), s;

		if (c < 0 || connect(c, (struct sockaddr *)&at, len))
			die("connect");
		s = accept4(ls, NULL, NULL, SOCK_CLOEXEC);
		if (s < 0)
			die("accept");
		*ends = (struct end){ .way = w, .fd = accepted ? s : c, .other = accepted ? c : s };
	}
}

static void await_newline(void)
{
	if (getchar() != '\n')
		exit(0);
}

int main(int argc, char **argv)
{
	bool v6 = argc > 1 && !strcmp(argv[1], "--v6");
	struct end connected[64], accepted[64];
	size_t n = 0;

	while (ways[n].name)
		n++;
	puts("ready");
	fflush(stdout);
	await_newline();
	make_ends(v6, false, connected);
	make_ends(v6, true, accepted);
	for (size_t i = 0; i < n; i++)
		half_close(&accepted[i]);
	for (size_t i = 0; i < n; i++)
		read_in_thread(&connected[i]);
	print_all(connected, n, "take_in thread");
	await_newline();
	for (size_t i = 0; i < n; i++)
		take_in(&accepted[i]);
	print_all(accepted, n, "take_in main");
	while (getchar() != EOF)
		;
	return 0;
}
