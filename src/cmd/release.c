/* SPDX-License-Identifier: MIT */
/* unclosed release: frees sockets in their holder's place, after it has said which and why. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "cmd/cmd.h"
#include "cmd/filter_opts.h"
#include "cmd/term.h"
#include "doctor/audit.h"
#include "doctor/release.h"
#include "doctor/snapshot.h"
#include "report/list.h"
#include "report/release.h"

#define DEFAULT_AT_MOST 100
#define DEFAULT_WAIT_MS 1000
/* The line after a deed holds that much more than the one before: result, error, states. */
#define AUDIT_MORE_BYTES 4096

enum {
	OPT_YES = FILTER_OPT_END,
	OPT_RESET,
	OPT_AT_MOST,
	OPT_AUDIT,
	OPT_WAIT,
	OPT_JSON,
	OPT_COLOUR,
};

static const struct opt release_opts[] = {
	FILTER_OPTS,
	{ OPT_YES, "yes", NULL, "do it; without, only say what would be done", NULL },
	{ OPT_RESET, "reset", NULL,
	  "destroy by cookie instead of shutting down: the peer gets a RST", NULL },
	{ OPT_AT_MOST, "at-most", "N", "do nothing where more than N qualify (100)", NULL },
	{ OPT_AUDIT, "audit", "FILE", "record each step in FILE, synced to disk before the next",
	  "file" },
	{ OPT_WAIT, "wait", "TIME", "how long to wait for both ends to be gone (1s)", NULL },
	{ OPT_JSON, "json", NULL, "one JSON object a line and socket", NULL },
	{ OPT_COLOUR, "colour", "[=WHEN]", "auto, always or never", "auto always never" },
	OPTS_COMMON,
	OPTS_END,
};

static const int release_once[] = { FILTER_ONCE, 0 };

static const struct usage release_usage = {
	.name = "unclosed release",
	.operands = "",
	.summary =
		"free half-closed sockets in their holder's place: at least one filter, and --yes",
	.opts = release_opts,
	.once = release_once,
};

struct job {
	struct filter filter;
	struct release_who who;
	struct report_style style;
	const char *audit_path;
	uint64_t at_most, wait_ms;
	bool yes, json;
	enum term_when colour;

	struct census census;
	struct session session;
	struct release release;
	struct audit audit;
};

static int cannot(const struct err *e)
{
	fprintf(stderr, "unclosed release: %s\n", e->text);
	return EXIT_CANNOT;
}

static int add_json(const struct job *j, struct buf *out, const struct release_item *item,
		    const char *phase)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return release_json(out, &j->census, item, phase, &j->who, &now);
}

static int record(const struct release_item *item, enum release_phase phase, void *arg,
		  struct err *e)
{
	struct job *j = arg;
	_buf_ struct buf line = { 0 };
	int r = add_json(j, &line, item, phase == RELEASE_BEFORE ? "before" : "after");

	if (r < 0)
		return err_set(e, r, "no memory for an audit line");
	if (phase == RELEASE_BEFORE) {
		r = audit_reserve(&j->audit, 2 * line.len + AUDIT_MORE_BYTES, e);
		if (r < 0)
			return r;
	}
	return audit_write(&j->audit, line.data, line.len, e);
}

/* Ctrl-C and SIGTERM are held back while a socket is between its two audit lines, and ask for the
 * end of the run between two sockets. */
static bool asked_to_stop(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 &&
	       (sigismember(&pending, SIGINT) || sigismember(&pending, SIGTERM) ||
		sigismember(&pending, SIGHUP));
}

static void hold_signals(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(how, &set, NULL);
}

static int print(struct buf *out)
{
	struct err e = { 0 };
	int r = out->failed ? -ENOMEM : fd_write_all(STDOUT_FILENO, out->data, out->len);

	if (r < 0) {
		err_errno(&e, r, "writing to standard output");
		return cannot(&e);
	}
	return EXIT_FINE;
}

static void add_sum(struct buf *out, const struct job *j)
{
	const struct release *r = &j->release;
	uint32_t refused = r->n - r->qualified;
	_buf_ struct buf unseen = { 0 };

	if (r->n == 0)
		buf_str(out, "No socket matches.\n");
	else if (!j->yes && r->qualified <= j->at_most) /* else refuse_number() says what is */
		buf_printf(out, "%u would be released, %u refused. Nothing was done%s.\n",
			   r->qualified, refused, r->qualified ? "; --yes does it" : "");
	if (!j->census.limits.privileged && list_unseen_line(&unseen, &j->census) && !unseen.failed)
		buf_printf(out, "Not seen: %s.\n", unseen.data);
}

static int print_plan(struct job *j)
{
	_buf_ struct buf out = { 0 };

	for (uint32_t i = 0; i < j->release.n; i++) {
		const struct release_item *item = &j->release.items[i];

		if (!j->json)
			release_text_plan(&out, &j->census, item, j->who.method, &j->style);
		else if (!j->yes || item->refusal != RELEASE_QUALIFIES)
			add_json(j, &out, item, "plan"); /* the others follow as "became" */
	}
	if (!j->json)
		add_sum(&out, j);
	return print(&out);
}

/* When the released died only BPF tells. */
static void add_aftermath(struct buf *out, const struct job *j, bool one)
{
	buf_printf(out, "%s open until the program closes %s: `unclosed list` shows %s as dead",
		   one ? "The descriptor stays" : "The descriptors stay", one ? "it" : "them",
		   one ? "it" : "them");
	if (j->census.tier == CENSUS_TIER_BPF)
		buf_printf(out, ", which needs a person only after %u s", CENSUS_OLDER_MS / 1000);
	buf_str(out, ".\n");
}

/* Whether all that was meant was released. */
static int print_done(struct job *j)
{
	_buf_ struct buf out = { 0 };
	uint32_t shut = 0;
	bool all = true;
	int r;

	for (uint32_t i = 0; i < j->release.n; i++) {
		const struct release_item *item = &j->release.items[i];

		all &= item->result == RELEASE_DONE || item->result == RELEASE_GONE;
		if (item->refusal != RELEASE_QUALIFIES)
			continue;
		shut += j->who.method == RELEASE_SHUTDOWN && item->result == RELEASE_DONE;
		if (j->json)
			add_json(j, &out, item, "became");
		else
			release_text_done(&out, &j->census, item, j->who.method, &j->style);
	}
	if (!j->json && shut)
		add_aftermath(&out, j, shut == 1);
	if (!j->json)
		buf_printf(&out, "Recorded in %s\n", j->audit.path);
	r = print(&out);
	return r ? r : all ? EXIT_FINE : EXIT_FINDINGS;
}

static int open_audit(struct job *j, struct err *e)
{
	char path[sizeof(j->audit.path)];
	int r;

	if (j->audit_path)
		return audit_open(&j->audit, j->audit_path, false, e);
	r = audit_default(path, getuid(), getenv("XDG_STATE_HOME"), getenv("HOME"), e);
	return r < 0 ? r : audit_open(&j->audit, path, true, e);
}

static int carry_out(struct job *j)
{
	struct err e = { 0 };
	int r, code;

	if (open_audit(j, &e) < 0) {
		fprintf(stderr, "unclosed release: %s%s\n", e.text,
			j->audit_path ? "" : "; name another with --audit=FILE");
		return EXIT_CANNOT;
	}
	hold_signals(SIG_BLOCK);
	r = release_carry_out(&j->release, record, asked_to_stop, j, &e);
	release_look(&j->release, true, (uint32_t)j->wait_ms);
	code = print_done(j);
	audit_close(&j->audit);
	if (r < 0)
		code = cannot(&e);
	hold_signals(SIG_UNBLOCK); /* dies of what came meanwhile */
	return code;
}

static int refuse_number(const struct job *j)
{
	fprintf(stderr,
		"unclosed release: %u sockets qualify, more than --at-most=%llu: nothing was done; "
		"narrow the filter or raise the limit\n",
		j->release.qualified, (unsigned long long)j->at_most);
	return EXIT_FINDINGS;
}

static int with_plan(struct job *j)
{
	int r;

	if (j->release.qualified <= j->at_most)
		release_look(&j->release, false, 0);
	r = print_plan(j);
	if (r)
		return r;
	if (j->release.qualified > j->at_most)
		return refuse_number(j);
	if (j->yes && j->release.qualified)
		return carry_out(j);
	return j->release.qualified < j->release.n ? EXIT_FINDINGS : EXIT_FINE;
}

static bool anything_meant(const struct job *j)
{
	for (uint32_t i = 0; i < j->census.sockets_n; i++)
		if (filter_match(&j->filter, &j->census, &j->census.sockets[i]))
			return true;
	return false;
}

/* What the filter names must be there, and in sight. Says what is not; returns the exit code of
 * what goes no further, or EXIT_FINE. `*hidden`: something of it may not be looked into. */
static int check(const struct job *j, bool *hidden)
{
	bool anything = anything_meant(j);
	struct err e = { 0 };

	if (j->census.limits.partial)
		fprintf(stderr, "unclosed release: the picture is partial: %s\n",
			j->census.limits.why);
	if (!anything && filter_check(&j->filter, &j->census, &e) < 0) {
		fprintf(stderr, "unclosed release: %s\n", e.text);
		return EXIT_MISUSE;
	}
	*hidden = filter_check_seen(&j->filter, &j->census, &e) < 0;
	if (*hidden)
		cannot(&e);
	return *hidden && !anything ? EXIT_CANNOT : EXIT_FINE;
}

static int with_census(struct job *j)
{
	struct err e = { 0 };
	bool hidden = false;
	int r = check(j, &hidden);

	if (r != EXIT_FINE)
		return r;
	if (release_plan(&j->release, &j->census, &j->filter, &j->session, j->who.method, &e) < 0)
		return cannot(&e);
	r = with_plan(j);
	release_free(&j->release);
	return r == EXIT_FINE && hidden ? EXIT_CANNOT : r;
}

static int release(struct job *j)
{
	struct snapshot_opts look = { .states = filter_states(&j->filter),
				      .each_time_wait = true,
				      .only = &j->filter };
	struct err e = { 0 };
	int r;

	if (session_read(&j->session, getenv("SSH_CONNECTION"), &e) < 0 ||
	    snapshot_take(&look, &j->census, &e) < 0)
		return cannot(&e);
	r = with_census(j);
	census_free(&j->census);
	return r;
}

static int set_option(struct job *j, int id, const char *arg, struct err *e)
{
	int64_t ns;

	switch (id) {
	case OPT_YES:
		j->yes = true;
		return 0;
	case OPT_RESET:
		j->who.method = RELEASE_RESET;
		return 0;
	case OPT_JSON:
		j->json = true;
		return 0;
	case OPT_COLOUR:
		if (term_parse_when(arg, &j->colour) < 0)
			return err_set(e, -EINVAL, "--colour=%s: say auto, always or never", arg);
		return 0;
	case OPT_AUDIT:
		j->audit_path = arg;
		return 0;
	case OPT_AT_MOST:
		if (num_u64(arg, 1, UINT32_MAX, &j->at_most) < 0)
			return err_set(e, -EINVAL, "--at-most: '%s' is no number of sockets", arg);
		return 0;
	case OPT_WAIT:
		if (num_duration(arg, &ns) < 0 || ns > 3600 * CLOCK_NS_PER_S)
			return err_set(e, -EINVAL, "--wait: '%s' is no time up to 1h", arg);
		j->wait_ms = (uint64_t)(ns / CLOCK_NS_PER_MS);
		return 0;
	case OPTS_BAD:
		return -EINVAL;
	default:
		return filter_opt(&j->filter, id, arg, e);
	}
}

static int run(int argc, char **argv)
{
	struct job j = { .at_most = DEFAULT_AT_MOST,
			 .wait_ms = DEFAULT_WAIT_MS,
			 .who = { .uid = getuid(), .pid = (uint32_t)getpid() },
			 .audit = { .fd = -1 } };
	struct opts o;
	struct err e = { 0 };
	int c;

	opts_start(&o, &release_usage, argc, argv);
	while ((c = opts_next(&o, &e)) != OPTS_DONE) {
		if (c == OPT_HELP) {
			opts_help(&release_usage);
			return EXIT_FINE;
		}
		if (c == OPT_VERSION) {
			opts_version(release_usage.name);
			return EXIT_FINE;
		}
		if (set_option(&j, c, o.arg, &e) < 0)
			return opts_misuse(&release_usage, "%s", e.text);
	}
	if (o.rest < argc)
		return opts_misuse(&release_usage, "'%s' is not wanted here", argv[o.rest]);
	if (!release_is_aimed(&j.filter))
		return opts_misuse(&release_usage,
				   "say which sockets: by --pid, --port, --cause, --older ...");
	j.who.argc = argc;
	j.who.argv = argv;
	j.who.older_ms = j.filter.has_older ? j.filter.older_ms : CENSUS_OLDER_MS;
	j.style = term_style(STDOUT_FILENO, j.colour, false);
	return release(&j);
}

const struct cmd cmd_release = { "release", &release_usage, run };
