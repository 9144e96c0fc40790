/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "cmd/cmd.h"
#include "doctor/watch.h"
#include "report/watch_text.h"

enum {
	OPT_AFTER = 256,
	OPT_JSON,
	OPT_DURATION,
	OPT_PID,
	OPT_COMM,
	OPT_PORT,
	OPT_NEW,
};

static const struct opt watch_opts[] = {
	{ OPT_AFTER, "after", "DURATION", "report what stays half-closed for longer (1s)", NULL },
	{ OPT_DURATION, "duration", "DURATION", "stop after this time", NULL },
	{ OPT_JSON, "json", NULL, "one JSON object a line", NULL },
	{ OPT_PID, "pid", "PID", "only what this process holds; may be repeated", NULL },
	{ OPT_COMM, "comm", "NAME", "only what processes of this name hold", NULL },
	{ OPT_PORT, "port", "PORT", "only connections with this port at either end", NULL },
	{ OPT_NEW, "new", NULL, "leave out what is half-closed already", NULL },
	OPTS_COMMON,
	OPTS_END,
};

static const struct usage watch_usage = {
	.name = "unclosed watch",
	.operands = "",
	.summary = "show connections that stay half-closed as it happens, and who was told",
	.opts = watch_opts,
};

struct run {
	struct doctor_setup setup;
	struct doctor *doctor;
	int64_t duration; /* ns; 0: until interrupted */
	bool json;
	pid_t pids[64];
	unsigned pid_count;
};

static void print_line(const struct tw_line *line, void *arg)
{
	struct run *run = arg;
	_buf_ struct buf out = { 0 };

	(void)run;
	watch_text(&out, line);
	fwrite(out.data, 1, out.len, stdout);
	fflush(stdout);
}

static int parse_one(struct run *run, int c, const char *arg)
{
	struct watch_rules *rules = &run->setup.watch.rules;
	uint64_t pid;
	int64_t ns;

	switch (c) {
	case OPT_AFTER:
		if (num_duration(arg, &ns))
			return opts_misuse(&watch_usage,
					   "--after %s: not a duration, such as 1s or 250ms", arg);
		rules->after = (uint64_t)ns;
		return -1;
	case OPT_DURATION:
		if (num_duration(arg, &run->duration) || !run->duration)
			return opts_misuse(&watch_usage,
					   "--duration %s: not a duration, such as 10s", arg);
		return -1;
	case OPT_JSON:
		run->json = true;
		return -1;
	case OPT_NEW:
		run->setup.skip_present = true;
		return -1;
	case OPT_PORT:
		if (num_port(arg, &rules->port) || !rules->port)
			return opts_misuse(&watch_usage, "--port %s: not a port, 1 to 65535", arg);
		return -1;
	case OPT_PID:
		if (num_u64(arg, 1, INT32_MAX, &pid) || run->pid_count == 64)
			return opts_misuse(&watch_usage, "--pid %s: not a process number", arg);
		run->pids[run->pid_count++] = (pid_t)pid;
		rules->by_owner = 1;
		return -1;
	case OPT_COMM:
		if (!*arg || strlen(arg) >= sizeof(rules->comm))
			return opts_misuse(&watch_usage, "--comm %s: a name has 1 to 15 bytes",
					   arg);
		strcpy(rules->comm, arg);
		rules->by_owner = 1;
		return -1;
	case OPT_HELP:
		opts_help(&watch_usage);
		return EXIT_FINE;
	case OPT_VERSION:
		opts_version(watch_usage.name);
		return EXIT_FINE;
	default:
		return EXIT_CANNOT;
	}
}

static int signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int loop(struct run *run, struct err *e)
{
	int64_t end = run->duration ? clock_mono_ns() + run->duration : INT64_MAX;
	_fd_ int sig = signals();

	for (;;) {
		struct pollfd p[2] = { { .fd = sig, .events = POLLIN },
				       { .fd = doctor_fd(run->doctor), .events = POLLIN } };
		int wait_ms, r = doctor_turn(run->doctor, &wait_ms, e);
		int64_t left = (end - clock_mono_ns()) / CLOCK_NS_PER_MS;

		if (r)
			return r;
		if (left <= 0)
			return 0;
		if (poll(p, 2, left < wait_ms ? (int)left : wait_ms) < 0 && errno != EINTR)
			return err_errno(e, -errno, "waiting for events");
		if (p[0].revents & POLLIN)
			return 0;
	}
}

static void print_start(const struct run *run)
{
	char text[32];

	printf("watching for what stays half-closed longer than %s; reads seen through %s\n",
	       num_duration_text((int64_t)run->setup.watch.rules.after, text, sizeof(text)),
	       watch_reads_name(watch_reads(doctor_watch(run->doctor))));
	fflush(stdout);
}

static int run_watch(struct run *run)
{
	struct err e = { 0 };
	int r = doctor_open(&run->doctor, &run->setup, print_line, run, &e);

	for (unsigned i = 0; !r && i < run->pid_count; i++)
		r = watch_add_pid(doctor_watch(run->doctor), run->pids[i], &e);
	if (!r)
		print_start(run);
	if (!r)
		r = loop(run, &e);
	doctor_close(run->doctor);
	if (r) {
		fprintf(stderr, "unclosed watch: %s\n", e.text);
		return EXIT_CANNOT;
	}
	return EXIT_FINE;
}

static int watch(int argc, char **argv)
{
	struct run run = { .setup.watch.rules.after = CLOCK_NS_PER_S };
	struct err e = { 0 };
	struct opts o;
	int c;

	opts_start(&o, &watch_usage, argc, argv);
	while ((c = opts_next(&o, &e)) != OPTS_DONE) {
		int code;

		if (c == OPTS_BAD)
			return opts_misuse(&watch_usage, "%s", e.text);
		code = parse_one(&run, c, o.arg);
		if (code >= 0)
			return code;
	}
	return run_watch(&run);
}

const struct cmd cmd_watch = { "watch", &watch_usage, watch };
