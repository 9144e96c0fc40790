/* SPDX-License-Identifier: MIT */
/* mkcause: see mkcause.h. Prints one JSON line for every end made, then "ready", and holds them
 * until its standard input ends or SIGTERM comes.
 *
 *   mkcause [--v6 | --mapped] [--netns] [--keep-closer] CAUSE[=N]... | all[=N]
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

#define PUMP_MS   20
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

static void print_one(const struct fix *f, const struct made *m)
{
	char local[TCP_ADDR_TEXT], peer[TCP_ADDR_TEXT];

	printf("{\"made\":\"%s\",\"cause\":\"%s\",\"snapshot\":\"%s\",\"end\":\"%s\",\"state\":\"%s\","
	       "\"local\":\"%s\",\"peer\":\"%s\",\"inode\":%llu,\"cookie\":%llu",
	       m->made, m->cause, m->snapshot ? m->snapshot : m->cause,
	       m->server ? "server" : "client", tcp_state_name(m->state),
	       tcp_addr_text(&m->local, local), tcp_addr_text(&m->peer, peer),
	       (unsigned long long)m->inode, (unsigned long long)m->cookie);
	if (m->variant)
		printf(",\"variant\":\"%s\"", m->variant);
	if (m->let_go)
		printf(",\"let_go\":%d", m->let_go);
	if (m->listener >= 0) {
		const struct listener *l = &f->listeners[m->listener];

		printf(",\"listener\":{\"pid\":%d,\"fd\":%d,\"inode\":%llu,\"port\":%u,"
		       "\"queue\":%u,\"backlog\":%u}",
		       getpid(), l->fd, (unsigned long long)l->inode, l->addr.port, l->queued,
		       l->backlog);
	}
	printf(",\"pid\":%d,\"fd\":%d,\"holders\":[", m->n_holders ? m->holders[0].pid : 0,
	       m->n_holders ? m->holders[0].fd : -1);
	for (unsigned i = 0; i < m->n_holders; i++)
		printf("%s{\"pid\":%d,\"comm\":\"%s\",\"fd\":%d}", i ? "," : "", m->holders[i].pid,
		       m->holders[i].comm, m->holders[i].fd);
	printf("]}\n");
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

static void make_all(struct fix *f, int argc, char **argv)
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
	settle(f);
}

static void on_term(int sig)
{
}

/* Until standard input ends or SIGTERM; keeps busy ends busy. */
static void hold(struct fix *f, const sigset_t *unblocked)
{
	struct timespec tick = { .tv_nsec = PUMP_MS * 1000000 };
	char byte;

	for (;;) {
		struct pollfd in = { 0, POLLIN, 0 };
		int n = ppoll(&in, 1, f->n_pump ? &tick : NULL, unblocked);

		if (n < 0 || (n > 0 && read(0, &byte, 1) <= 0))
			return;
		pump(f);
	}
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "v6", 0, 0, '6' },          { "mapped", 0, 0, 'm' }, { "netns", 0, 0, 'n' },
		{ "keep-closer", 0, 0, 'k' }, { "scale", 1, 0, 's' },  { 0 },
	};
	struct fix f = { .family = AF_INET, .ring = -1, .post = { -1, -1 } };
	struct rlimit files;
	unsigned procs = 0, each = 0;
	struct err e = { 0 };
	sigset_t term, old;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		f.family = c == '6' ? AF_INET6 : f.family;
		f.mapped |= c == 'm';
		f.keep_closer |= c == 'k';
		f.own_netns |= c == 'n';
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
