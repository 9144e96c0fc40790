/* SPDX-License-Identifier: MIT */
/* Programs and processes: started, listened to, ended. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "lab/json_bytes.h"
#include "lab/lab.h"

#define ARGV_MAX 32

/* The programs that every scenario may run: they are ours, and harm nothing. */
static const char *const own_programs[] = { "daytimed", "daytime" };

static bool is_own(const char *name)
{
	for (size_t i = 0; i < sizeof(own_programs) / sizeof(own_programs[0]); i++)
		if (!strcmp(own_programs[i], name))
			return true;
	return false;
}

static bool is_allowed(const struct lab_options *o, const char *name)
{
	for (size_t i = 0; i < o->nallow; i++)
		if (!strcmp(o->allow[i], name) || !strcmp(o->allow[i], "*"))
			return true;
	return false;
}

/* Finds a command on PATH. Returns false where it is not there. */
static bool find_on_path(const char *name, char *path, size_t cap)
{
	const char *dirs = getenv("PATH");
	char fallback[] = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

	if (strchr(name, '/')) {
		snprintf(path, cap, "%s", name);
		return true;
	}
	for (const char *d = dirs ? dirs : fallback; *d;) {
		size_t n = strcspn(d, ":");

		snprintf(path, cap, "%.*s/%s", (int)n, d, name);
		if (n && access(path, X_OK) == 0)
			return true;
		d += n + (d[n] == ':');
	}
	return false;
}

static void free_argv(char **argv)
{
	for (int i = 0; argv[i]; i++)
		free(argv[i]);
}

static bool read_argv(struct pending *p, char *argv[ARGV_MAX + 1], struct answer *a)
{
	const json_t *list = json_object_get(p->args, "argv");
	size_t n = json_array_size(list);

	memset(argv, 0, sizeof(char *) * (ARGV_MAX + 1));
	if (n == 0 || n > ARGV_MAX) {
		op_error(a, "run takes a command and at most %d arguments", ARGV_MAX - 1);
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		argv[i] = json_to_bytes(json_array_get(list, i), NULL);
		if (argv[i])
			continue;
		free_argv(argv);
		op_error(a, "argument %zu of run is no text", i + 1);
		return false;
	}
	return true;
}

static void own_path(const struct lab_options *o, const char *name, char *path, size_t cap)
{
	snprintf(path, cap, "%s/../sbin/%s", o->bindir, name);
	if (access(path, X_OK) < 0)
		snprintf(path, cap, "%s/%s", o->bindir, name);
}

static enum op_result start_program(struct lab *lab, struct pending *p, char **argv,
				    struct answer *a)
{
	char path[4096];
	struct actor_program program = { .path = path,
					 .argv = argv,
					 .read_only = !lab->net.loopback,
					 .failure = &lab->failures[lab->nactors] };
	struct actor *actor = lab_new_actor(lab, a);
	struct err e = { 0 };

	if (!actor)
		return OP_ERROR;
	if (is_own(argv[0]))
		own_path(lab->options, argv[0], path, sizeof(path));
	else if (!is_allowed(lab->options, argv[0]))
		return op_error(a, "this scenario wants to run '%s'; allow it with --allow=%s",
				argv[0], argv[0]);
	else if (!find_on_path(argv[0], path, sizeof(path)))
		return op_broken(lab, p, "there is no command '%s' on PATH", argv[0]);
	p->actor = lab->nactors++;
	if (actor_start_program(actor, &lab->net, &lab->trace, p->actor, arg_side(p), &program,
				&e) < 0)
		return op_broken(lab, p, "%s", e.text);
	return OP_WAIT;
}

static enum op_result begin_run(struct lab *lab, struct pending *p, struct answer *a)
{
	char *argv[ARGV_MAX + 1];
	enum op_result r;

	if (!read_argv(p, argv, a))
		return OP_ERROR;
	r = start_program(lab, p, argv, a);
	free_argv(argv);
	return r;
}

static enum op_result poll_run(struct lab *lab, struct pending *p, struct answer *a)
{
	const struct actor *actor = &lab->actors[p->actor];

	if (actor->executed)
		return op_ok(a, json_integer(p->actor));
	if (!actor->exited)
		return OP_WAIT;
	return op_broken(lab, p, "%s could not be executed: %s", actor->name,
			 actor_failure(actor) ?: "it was killed");
}

static enum op_result begin_process(struct lab *lab, struct pending *p, struct answer *a)
{
	struct actor *actor = lab_new_actor(lab, a);
	struct err e = { 0 };
	char name[16];

	if (!actor)
		return OP_ERROR;
	p->actor = lab->nactors++;
	if (actor_start_puppet(actor, &lab->net, &lab->trace, p->actor, arg_side(p),
			       arg_text(p, "name", name, sizeof(name)), &lab->failures[p->actor],
			       &e) < 0)
		return op_broken(lab, p, "%s", e.text);
	return op_ok(a, json_integer(p->actor));
}

/* "exited with status 3", "was killed by SIGTERM" */
static const char *end_text(const struct actor *actor, char *buf, size_t cap)
{
	char words[160];
	const char *said = actor_last_words(actor, words, sizeof(words));

	if (WIFSIGNALED(actor->status))
		snprintf(buf, cap, "%s[%d] was killed by SIG%s", actor->name, actor->pid,
			 sigabbrev_np(WTERMSIG(actor->status)) ?: "?");
	else
		snprintf(buf, cap, "%s[%d] exited with status %d%s%s", actor->name, actor->pid,
			 WEXITSTATUS(actor->status), *said ? ", saying: " : "", said);
	return buf;
}

/* Ends a wait for an actor that can no longer do what is waited for. */
static enum op_result died_early(struct lab *lab, struct pending *p, const struct actor *actor,
				 const char *what)
{
	char text[300];

	return op_broken(lab, p, "%s before %s", end_text(actor, text, sizeof(text)), what);
}

static enum op_result begin_actor(struct lab *lab, struct pending *p, struct answer *a)
{
	if (!arg_actor(lab, p, a))
		return OP_ERROR;
	return p->op->poll(lab, p, a);
}

static enum op_result poll_says(struct lab *lab, struct pending *p, struct answer *a)
{
	const struct actor *actor = &lab->actors[p->actor];
	char text[128], what[160];

	arg_text(p, "text", text, sizeof(text));
	for (int i = 0; i < 2; i++)
		if (actor->text[i] && strstr(actor->text[i], text))
			return OP_OK;
	snprintf(what, sizeof(what), "it said '%s'", text);
	if (actor->exited && actor->output[0] < 0 && actor->output[1] < 0)
		return died_early(lab, p, actor, what);
	return OP_WAIT;
}

static enum op_result late_says(struct lab *lab, struct pending *p, struct answer *a)
{
	const struct actor *actor = &lab->actors[p->actor];
	char text[128];

	return op_broken(lab, p, "%s[%d] has not said '%s' in time", actor->name, actor->pid,
			 arg_text(p, "text", text, sizeof(text)));
}

static enum op_result poll_listens(struct lab *lab, struct pending *p, struct answer *a)
{
	const struct actor *actor = &lab->actors[p->actor];

	if (actor->listens)
		return op_ok(a, json_integer(actor->listens));
	return actor->exited ? died_early(lab, p, actor, "it listened") : OP_WAIT;
}

static enum op_result late_listens(struct lab *lab, struct pending *p, struct answer *a)
{
	const struct actor *actor = &lab->actors[p->actor];

	return op_broken(lab, p, "%s[%d] does not listen in time", actor->name, actor->pid);
}

/* exits: with the status that the script names, if any. A signal counts as 128 and its number. */
static enum op_result poll_exits(struct lab *lab, struct pending *p, struct answer *a)
{
	const struct actor *actor = &lab->actors[p->actor];
	char wanted[64], seen[96], text[300];
	int status;

	if (!actor->exited)
		return OP_WAIT;
	status = WIFSIGNALED(actor->status) ? 128 + WTERMSIG(actor->status)
					    : WEXITSTATUS(actor->status);
	if (!arg_given(p, "status"))
		return op_ok(a, json_integer(status));
	snprintf(wanted, sizeof(wanted), "%s exits with status %lld", actor->name,
		 (long long)arg_int(p, "status", 0));
	snprintf(seen, sizeof(seen), "%.95s", end_text(actor, text, sizeof(text)));
	a->value = NULL;
	return lab_expect(lab, p, TL_NOBODY, status == arg_int(p, "status", 0), wanted, seen);
}

static enum op_result late_exits(struct lab *lab, struct pending *p, struct answer *a)
{
	const struct actor *actor = &lab->actors[p->actor];

	return op_broken(lab, p, "%s[%d] does not exit in time", actor->name, actor->pid);
}

static int signal_number(const char *name)
{
	if (!strncmp(name, "SIG", 3))
		name += 3;
	for (int sig = 1; sig < NSIG; sig++) {
		const char *abbrev = sigabbrev_np(sig);

		if (abbrev && !strcmp(abbrev, name))
			return sig;
	}
	return -1;
}

static enum op_result begin_kill(struct lab *lab, struct pending *p, struct answer *a)
{
	struct actor *actor = arg_actor(lab, p, a);
	char name[16];
	int sig;

	if (!actor)
		return OP_ERROR;
	sig = signal_number(arg_text(p, "signal", name, sizeof(name)));
	if (sig < 0)
		return op_error(a, "no signal '%s'", name);
	if (actor->exited)
		return died_early(lab, p, actor, "it was sent a signal");
	if (actor->pid <= 0) /* kill() would take it for a group, ours among them */
		return op_error(a, "%s has no process", actor->name);
	if (kill(actor->pid, sig) < 0)
		return op_broken(lab, p, "sending SIG%s to %s[%d]: %s", name, actor->name,
				 actor->pid, strerror(errno));
	return OP_OK;
}

static enum op_result poll_output(struct lab *lab, struct pending *p, struct answer *a)
{
	const struct actor *actor = &lab->actors[p->actor];

	/* Whole only when the program has closed it. */
	if (actor->output[0] >= 0 && !actor->exited)
		return OP_WAIT;
	if (actor->lost[0])
		return op_error(a, "%s wrote more than the %d bytes that are kept", actor->name,
				ACTOR_OUTPUT_BYTES);
	return op_ok(a, json_from_bytes(actor->text[0] ? actor->text[0] : "", actor->len[0]));
}

static enum op_result begin_sysctl(struct lab *lab, struct pending *p, struct answer *a)
{
	static const char *const allowed[] = {
		"ipv4/tcp_fin_timeout",      "ipv4/tcp_orphan_retries",
		"ipv4/tcp_retries1",         "ipv4/tcp_retries2",
		"ipv4/tcp_keepalive_time",   "ipv4/tcp_keepalive_intvl",
		"ipv4/tcp_keepalive_probes", "ipv4/tcp_abort_on_overflow",
		"ipv4/tcp_migrate_req",      "ipv4/tcp_tw_reuse",
		"ipv4/tcp_tw_reuse_delay",   "ipv4/tcp_rfc1337",
		"ipv4/ip_local_port_range",  "ipv4/tcp_syn_retries",
		"ipv4/tcp_synack_retries",   "ipv4/tcp_max_tw_buckets",
		"ipv4/tcp_timestamps",       "ipv4/tcp_syncookies",
		"ipv4/tcp_rto_min_us",       "ipv4/tcp_max_orphans",
		"ipv4/tcp_rto_max_ms",       "core/somaxconn",
	};
	char name[64], value[64];
	struct err e = { 0 };
	struct tl_event *v;
	int r;

	arg_text(p, "name", name, sizeof(name));
	arg_text(p, "value", value, sizeof(value));
	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
		if (strcmp(allowed[i], name))
			continue;
		/* Where packets are lost the lab has made retransmission fast: set_loss(). */
		if (lab->wire.loss && !strcmp(name, "ipv4/tcp_rto_min_us"))
			return op_ok(a, json_true());
		r = net_sysctl(&lab->net, arg_side(p), name, value, &e);
		if (r == -ENOENT && arg_true(p, "optional"))
			return op_ok(a, json_false());
		if (r < 0)
			return op_broken(lab, p, "%s", e.text);
		v = record_event(&lab->rec, TL_STEP, TL_NOBODY, TL_NO_CONN);
		if (v)
			snprintf(v->text, sizeof(v->text), "The %s's kernel has %s set to %s.",
				 arg_side(p) ? "server" : "client", strrchr(name, '/') + 1, value);
		return op_ok(a, json_true());
	}
	return op_error(a, "a scenario may not set the sysctl '%s'", name);
}

const struct op ops_actor[] = {
	{ "run", begin_run, poll_run, NULL },
	{ "process", begin_process, NULL, NULL },
	{ "says", begin_actor, poll_says, late_says },
	{ "listens", begin_actor, poll_listens, late_listens },
	{ "exits", begin_actor, poll_exits, late_exits },
	{ "output", begin_actor, poll_output, late_exits },
	{ "kill", begin_kill, NULL, NULL },
	{ "sysctl", begin_sysctl, NULL, NULL },
	{ NULL, NULL, NULL, NULL },
};
