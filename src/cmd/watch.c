/* SPDX-License-Identifier: MIT */
#include "cmd/watch.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "base/clock.h"
#include "base/num.h"
#include "cmd/cmd.h"
#include "kernel/glob.h"

enum {
	OPT_AFTER = 256,
	OPT_DURATION,
	OPT_INTERVAL,
	OPT_JSON,
	OPT_PLAIN,
	OPT_OUTPUT,
	OPT_PID,
	OPT_COMM,
	OPT_PORT,
	OPT_CGROUP,
	OPT_NEW,
	OPT_BUFFER,
	OPT_READS,
	OPT_NO_STACKS,
	OPT_MADE,
};

static const struct opt watch_opts[] = {
	{ OPT_AFTER, "after", "TIME", "report what stays half-closed for longer (1s)", NULL },
	{ OPT_DURATION, "duration", "TIME", "stop after this time", NULL },
	{ OPT_INTERVAL, "interval", "TIME", "show the close lags this often, not only at the end",
	  NULL },
	{ OPT_PID, "pid", "PID", "only what this process holds; may be repeated", NULL },
	{ OPT_COMM, "comm", "NAME", "only what processes of this name hold; may be a pattern",
	  NULL },
	{ OPT_PORT, "port", "PORT", "only with this port at either end", NULL },
	{ OPT_CGROUP, "cgroup", "PATH", "only sockets made in this cgroup or below it", "file" },
	{ OPT_NEW, "new", NULL, "leave out what was half-closed before", NULL },
	{ OPT_MADE, "made", NULL,
	  "know of all sockets where they were made, from the start; has its cost", NULL },
	{ OPT_NO_STACKS, "no-stacks", NULL, "take no stacks", NULL },
	{ OPT_JSON, "json", NULL, "one JSON object a line", NULL },
	{ OPT_PLAIN, "plain", NULL, "print lines, also on a terminal", NULL },
	{ OPT_OUTPUT, "output", "FILE", "write there, not to the standard output", "file" },
	{ OPT_BUFFER, "buffer", "KIB", "room for events on their way, 4 to 65536 KiB (1024)",
	  NULL },
	{ OPT_READS, "reads", "HOW", "how reads are seen, where not the best that works",
	  "sock_recv_length fexit syscalls" },
	OPTS_COMMON,
	OPTS_END,
};

static const int watch_once[] = {
	OPT_AFTER,  OPT_DURATION, OPT_INTERVAL, OPT_COMM,  OPT_PORT,
	OPT_CGROUP, OPT_OUTPUT,   OPT_BUFFER,   OPT_READS, 0,
};

static const struct usage watch_usage = {
	.name = "unclosed watch",
	.operands = "[-- command ...]",
	.summary = "show connections that stay half-closed as it happens, and who was told",
	.opts = watch_opts,
	.once = watch_once,
	.dashes = true,
	.more = "With a command it exits with 1 where that left a connection unclosed, with 3 where that\n"
		"cannot be told, else as the command does. It needs root, or CAP_BPF, CAP_PERFMON and\n"
		"CAP_SYS_PTRACE.\n",
};

static int set_pid(struct watch_job *job, const char *arg, struct err *e)
{
	uint64_t pid;

	/* One place stays free for the command. */
	if (job->pid_count == WATCH_MAX_PIDS - 1)
		return err_set(e, -E2BIG, "--pid %s: too many processes", arg);
	if (num_u64(arg, 1, INT32_MAX, &pid))
		return err_set(e, -EINVAL, "--pid %s: not a process number", arg);
	job->pids[job->pid_count++] = (pid_t)pid;
	job->setup.watch.rules.by_owner = job->setup.watch.rules.by_pid = 1;
	return 0;
}

static int set_comm(struct watch_job *job, const char *arg, struct err *e)
{
	struct watch_rules *rules = &job->setup.watch.rules;

	if (!*arg)
		return err_set(e, -EINVAL, "--comm: an empty name means nothing here");
	if (strlen(arg) >= WATCH_COMM && !strpbrk(arg, "*?[\\"))
		return err_set(e, -E2BIG,
			       "--comm %s: a process's name has at most 15 bytes: say %.15s", arg,
			       arg);
	if (glob_compile(&rules->name, arg))
		return err_set(e, -E2BIG,
			       "--comm '%s': a name has 15 bytes, a pattern up to %d parts", arg,
			       GLOB_ELEMENTS);
	rules->by_owner = rules->by_name = 1;
	job->comm = arg;
	return 0;
}

/* A cgroup's id is the inode number of its folder (kernfs). Other file systems have the same
 * numbers: the root of each hierarchy of cgroup v1 has that of the unified one's. */
static int set_cgroup(struct watch_job *job, const char *arg, struct err *e)
{
	struct statfs fs;
	struct stat st;

	if (!*arg)
		return err_set(e, -EINVAL, "--cgroup: an empty name means nothing here");
	if (stat(arg, &st) || statfs(arg, &fs))
		return err_errno(e, -errno, "--cgroup %s", arg);
	if (!S_ISDIR(st.st_mode) || fs.f_type != CGROUP2_SUPER_MAGIC)
		return err_set(e, -EINVAL,
			       "--cgroup %s: not a folder of cgroup v2, whose place is what "
			       "'findmnt -t cgroup2' shows",
			       arg);
	job->setup.watch.rules.cgroup = st.st_ino;
	return 0;
}

static int set_buffer(struct watch_job *job, const char *arg, struct err *e)
{
	uint64_t kib;

	if (num_u64(arg, 4, 65536, &kib) || (kib & (kib - 1)))
		return err_set(e, -EINVAL, "--buffer %s: not a power of two from 4 to 65536", arg);
	job->setup.watch.buffer = (uint32_t)kib * 1024;
	return 0;
}

static int set_reads(struct watch_job *job, const char *arg, struct err *e)
{
	for (int how = WATCH_READS_AUTO + 1; how < WATCH_READS_COUNT; how++) {
		if (strcmp(arg, watch_reads_name(how)))
			continue;
		job->setup.watch.reads = how;
		return 0;
	}
	return err_set(e, -EINVAL, "--reads %s: say sock_recv_length, fexit or syscalls", arg);
}

static int set_time(const char *name, const char *arg, int64_t least, int64_t *ns, struct err *e)
{
	int64_t value;

	if (num_duration(arg, &value) || value < least)
		return err_set(e, -EINVAL, "--%s %s: not a time, such as 250ms, 1s or 5m", name,
			       arg);
	*ns = value;
	return 0;
}

/* What is to be run stands after "--": a word alone may be meant for what runs already. */
static int refuse_word(const char *word, struct err *e)
{
	if (!*word)
		return err_set(e, -EINVAL, "an empty word means nothing here");
	return err_set(e, -EINVAL, "%s: to run it, say -- %s; to watch what runs, --comm or --pid",
		       word, word);
}

static int set(struct watch_job *job, int c, const char *arg, struct err *e)
{
	struct watch_rules *rules = &job->setup.watch.rules;
	int64_t ns = 0;

	switch (c) {
	case OPT_AFTER:
		if (set_time("after", arg, 0, &ns, e))
			return -EINVAL;
		rules->after = (uint64_t)ns;
		return 0;
	case OPT_DURATION:
		return set_time("duration", arg, 1, &job->duration, e);
	case OPT_INTERVAL:
		return set_time("interval", arg, CLOCK_NS_PER_MS, &job->interval, e);
	case OPT_PID:
		return set_pid(job, arg, e);
	case OPT_COMM:
		return set_comm(job, arg, e);
	case OPT_PORT:
		if (num_port(arg, &rules->port) || !rules->port)
			return err_set(e, -EINVAL, "--port %s: not a port, 1 to 65535", arg);
		return 0;
	case OPT_CGROUP:
		return set_cgroup(job, arg, e);
	case OPT_NEW:
		job->setup.skip_present = true;
		return 0;
	case OPT_MADE:
		rules->made = 1;
		return 0;
	case OPT_NO_STACKS:
		rules->stacks = 0;
		return 0;
	case OPT_JSON:
		job->json = true;
		return 0;
	case OPT_PLAIN:
		job->plain = true;
		return 0;
	case OPT_OUTPUT:
		job->output = arg;
		return *arg ? 0 : err_set(e, -EINVAL, "--output: an empty name means nothing here");
	case OPT_BUFFER:
		return set_buffer(job, arg, e);
	case OPT_READS:
		return set_reads(job, arg, e);
	case OPTS_WORD:
		return refuse_word(arg, e);
	default:
		return -EINVAL;
	}
}

static void say_log(const char *text)
{
	fputs(text, stderr);
}

static int run_named(struct watch_job *job)
{
	struct err e = { 0 };
	int code, r = watch_named_open(&job->named, job->pids, job->pid_count, &e);

	if (r)
		fprintf(stderr, "unclosed watch: %s\n", e.text);
	code = r == -ENOENT ? EXIT_MISUSE : r ? EXIT_CANNOT : watch_run(job);
	watch_named_close(&job->named);
	return code;
}

/* It and its children are watched, and no others: what they leave unclosed is its exit status. */
static int set_command(struct watch_job *job, char **command, struct err *e)
{
	struct watch_rules *rules = &job->setup.watch.rules;

	if (job->pid_count || job->comm)
		return err_set(e, -EINVAL, "%s and a command: watch the one or the other",
			       job->comm ? "--comm" : "--pid");
	job->command = command;
	rules->by_owner = rules->by_pid = rules->follow = 1;
	job->setup.skip_present = true;
	return 0;
}

static int run(int argc, char **argv)
{
	struct watch_job job = {
		.setup.watch.rules = { .after = CLOCK_NS_PER_S, .stacks = 1 },
		.draw = true,
	};
	struct err e = { 0 };
	struct opts o;
	int c;

	opts_start(&o, &watch_usage, argc, argv);
	while ((c = opts_next(&o, &e)) != OPTS_DONE) {
		if (c == OPT_HELP) {
			opts_help(&watch_usage);
			return EXIT_FINE;
		}
		if (c == OPT_VERSION) {
			opts_version(watch_usage.name);
			return EXIT_FINE;
		}
		if (c == OPTS_BAD || set(&job, c, o.arg, &e))
			return opts_misuse(&watch_usage, "%s", e.text);
	}
	if (job.setup.watch.rules.made && !job.setup.watch.rules.stacks)
		return opts_misuse(&watch_usage,
				   "--made and --no-stacks: where a socket was made is a stack");
	if (o.rest == argc && !strcmp(argv[argc - 1], "--"))
		return opts_misuse(&watch_usage, "--: no command follows");
	if (o.rest < argc && set_command(&job, argv + o.rest, &e))
		return opts_misuse(&watch_usage, "%s", e.text);
	if (getenv("UNCLOSED_DEBUG"))
		job.setup.watch.log = say_log;
	return run_named(&job);
}

const struct cmd cmd_watch = { "watch", &watch_usage, run };
