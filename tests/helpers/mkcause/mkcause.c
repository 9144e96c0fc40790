/* SPDX-License-Identifier: MIT */
/* mkcause: see mkcause.h. Prints one JSON line for every end made, then "ready", and holds them
 * until its standard input ends or SIGTERM comes. A line "release" there has it close those that
 * stay for want of a close, print their lines again, and "released"; a line "reset" has the closers
 * that --keep-closer kept reset their connections, and is answered likewise. --swap: the server
 * ends connect. --wait: it first prints "waiting", and begins at a line "go"; each line "one"
 * before that has it make an end that is told, and print that.
 *
 *   mkcause [--v6 | --mapped] [--netns] [--keep-closer] [--swap] [--wait] CAUSE[=N]... | all[=N]
 *   mkcause [--v6 | --mapped] [--netns] --scale PROCESSESxEACH */
#include "mkcause.h"

#include <getopt.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "kernel/diag.h"

#define MANY_EACH 1000000

void die(const char *what)
{
	fprintf(stderr, "mkcause: ");
	perror(what);
	_exit(1);
}

void *need(void *memory)
{
	if (!memory)
		die("memory");
	return memory;
}

/* A network namespace of its own, with loopback up; a user namespace too where that is needed. */
static void new_netns(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd;

	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		die("unshare");
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0)
		die("bringing lo up");
	close(fd);
}

/* Reads "word" or "word=N"; returns N, 1 where there is none. */
static unsigned count_of(char *arg)
{
	char *eq = strchr(arg, '=');
	unsigned long n;

	if (!eq)
		return 1;
	*eq = '\0';
	n = strtoul(eq + 1, NULL, 10);
	return n > MANY_EACH ? MANY_EACH : (unsigned)n;
}

APART static void make_all(struct fix *f, int argc, char **argv)
{
	size_t total = 0, words = 0;

	while (cause_word(words))
		words++;
	for (int i = 0; i < argc; i++) {
		const char *eq = strchr(argv[i], '=');

		total += (eq ? strtoul(eq + 1, NULL, 10) : 1) *
			 (strncmp(argv[i], "all", 3) ? 1 : words);
	}
	f->cap = 2 * total + 1;
	f->made = need(calloc(f->cap, sizeof(*f->made)));
	f->pump = need(calloc(f->cap, sizeof(*f->pump)));
	add_listener(f, 4096);
	for (int i = 0; i < argc; i++) {
		unsigned n = count_of(argv[i]);

		for (size_t k = 0; !strcmp(argv[i], "all") && k < words; k++)
			make(f, cause_word(k), n);
		if (strcmp(argv[i], "all") && !make(f, argv[i], n)) {
			fprintf(stderr, "mkcause: no cause '%s'\n", argv[i]);
			exit(2);
		}
	}
	post_descriptors(f);
	sharers_start(f);
	await_deaths(f);
	settle(f);
}

static void on_term(int sig)
{
}

/* Reads a line; false at the end. No more than one is sent before it is answered. */
static bool ask(char line[16])
{
	ssize_t n = read(0, line, 15);

	if (n <= 0)
		return false;
	line[n] = '\0';
	return true;
}

/* Until standard input ends or SIGTERM; keeps busy ends busy. */
static void hold(struct fix *f, const sigset_t *unblocked)
{
	struct timespec tick = { .tv_nsec = PUMP_MS * 1000000 };
	char line[16];

	for (;;) {
		struct pollfd in = { 0, POLLIN, 0 };
		int n = ppoll(&in, 1, f->n_pump ? &tick : NULL, unblocked);

		if (n < 0 || (n > 0 && !ask(line)))
			return;
		if (n > 0 && !strcmp(line, "release\n"))
			release(f);
		if (n > 0 && !strcmp(line, "reset\n"))
			reset(f);
		pump(f);
	}
}

/* One connection whose end is told, which stays to the end of the program. */
static void make_one(struct fix *f)
{
	char local[TCP_ADDR_TEXT], peer[TCP_ADDR_TEXT], byte;
	struct tcp_addr to;
	int l = listen_on(f, 1, &to), c = connect_to(f, &to, 0), s = accept_from(l);
	struct tcp_addr from;

	addr_of(c, &from, getsockname);
	close(l);
	close(c);
	if (recv(s, &byte, 1, 0) != 0)
		die("reading the end of the stream");
	printf("{\"local\":\"%s\",\"peer\":\"%s\"}\n", tcp_addr_text(&to, local),
	       tcp_addr_text(&from, peer));
	fflush(stdout);
}

/* Until it is to begin. */
static void wait_for_go(struct fix *f)
{
	char line[16];

	printf("waiting\n");
	fflush(stdout);
	while (ask(line) && strcmp(line, "go\n"))
		make_one(f);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "v6", 0, 0, '6' },    { "mapped", 0, 0, 'm' },
		{ "netns", 0, 0, 'n' }, { "keep-closer", 0, 0, 'k' },
		{ "scale", 1, 0, 's' }, { "swap", 0, 0, 'x' },
		{ "wait", 0, 0, 'w' },  { 0 },
	};
	struct fix f = { .family = AF_INET, .ring = -1, .post = { -1, -1 } };
	struct rlimit files;
	unsigned procs = 0, each = 0;
	struct err e = { 0 };
	sigset_t term, old;
	bool wait = false;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		f.family = c == '6' ? AF_INET6 : f.family;
		f.mapped |= c == 'm';
		f.keep_closer |= c == 'k';
		f.own_netns |= c == 'n';
		f.swap |= c == 'x';
		wait |= c == 'w';
		if (c == '?' || (c == 's' && sscanf(optarg, "%ux%u", &procs, &each) != 2))
			return 2;
	}
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (f.own_netns)
		new_netns();
	if (procs) {
		scale(&f, procs, each);
		return 0;
	}
	f.diag = diag_open(&e);
	if (f.diag < 0)
		die("sock_diag");
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, &old);
	signal(SIGTERM, on_term);
	if (wait)
		wait_for_go(&f);
	keeper_start(&f);
	make_all(&f, argc - optind, argv + optind);
	for (size_t i = 0; i < f.n; i++)
		print_one(&f, &f.made[i]);
	pump(&f); /* busy ends are busy from the start */
	printf("ready\n");
	fflush(stdout);
	hold(&f, &old);
	stop(&f);
	return 0;
}
