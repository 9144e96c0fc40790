/* SPDX-License-Identifier: MIT */
/* unclosed lab: chooses scenarios, runs them side by side, shows them in order. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/lab_jobs.h"
#include "cmd/term.h"
#include "report/html.h"
#include "report/lab_json.h"
#include "report/lab_text.h"
#include "report/matrix.h"
#include "report/pcap.h"
#include "report/svg.h"
#include "version.h"

enum {
	OPT_LIST = 256,
	OPT_JSON,
	OPT_PCAP,
	OPT_HTML,
	OPT_SVG,
	OPT_TIMEOUT,
	OPT_ALLOW,
	OPT_LOOPBACK,
	OPT_ASCII,
	OPT_SEED,
	OPT_LOSS,
	OPT_MATRIX,
	OPT_COLOUR,
};

#define ALLOW_MAX 16
/* More than half lost is a cut wire with patience. */
#define LOSS_MAX 50
/* A scenario of the catalogue needs a tenth of a second; one's own may wait for a kernel timer. */
#define TIMEOUT_NS (60 * CLOCK_NS_PER_S)

static const struct opt lab_opts[] = {
	{ OPT_LIST, "list", NULL, "list the scenarios, with what each is about", NULL },
	{ OPT_MATRIX, "matrix", NULL,
	  "show which scenario covers which event in which closing state", NULL },
	{ OPT_JSON, "json", NULL, "one JSON object a line for each scenario", NULL },
	{ OPT_PCAP, "pcap", "FILE", "write the packets of all scenarios to a capture file",
	  "file" },
	{ OPT_HTML, "html", "FILE", "write a page that shows all scenarios, to step through",
	  "file" },
	{ OPT_SVG, "svg", "FILE", "write the diagram of one scenario as a picture", "file" },
	{ 'q', "quiet", NULL, "one line for each scenario", NULL },
	{ '6', "ipv6", NULL, "over IPv6 (default: IPv4)", NULL },
	{ 'j', "jobs", "N", "run so many scenarios at once (default: six for each processor)",
	  NULL },
	{ OPT_TIMEOUT, "timeout", "DURATION", "end a scenario that takes longer (60s)", NULL },
	{ OPT_ALLOW, "allow", "COMMAND",
	  "let scenarios run this command, as you, with the file system read-only; may be given again",
	  NULL },
	{ OPT_LOOPBACK, "loopback", NULL,
	  "no namespaces: on this host's loopback, states without packets", NULL },
	{ OPT_ASCII, "ascii", NULL, "plain ASCII in diagrams", NULL },
	{ OPT_COLOUR, "colour", "[=WHEN]", "colours: auto (the default), always, never",
	  "auto always never" },
	{ OPT_LOSS, "loss", "PERCENT", "lose so many of all packets, by chance (0 to 50)", NULL },
	{ OPT_SEED, "seed", "N", "for the wire's chances (default 1)", NULL },
	OPTS_COMMON,
	OPTS_END,
};

static const struct usage lab_usage = {
	.name = "unclosed lab",
	.operands = "[scenario...]",
	.summary =
		"run scenarios between two network namespaces and show both ends, packet by packet",
	.opts = lab_opts,
	.complete = "scenario",
	.more = "A scenario is a name, a theme, a glob of either, or the path of a Lua file. Without any,\n"
		"the five experiments run. Needs no privileges where user namespaces are allowed.\n",
};

struct lab_settings {
	struct jobs_options jobs;
	const char *allow[ALLOW_MAX];
	const char *pcap, *html, *svg;
	bool list, matrix, json, quiet, ascii;
	enum term_when colour;
};

/* The options that are on or off. Returns NULL where the option takes a value. */
static bool *flag_of(struct lab_settings *s, int id)
{
	switch (id) {
	case OPT_LIST:
		return &s->list;
	case OPT_MATRIX:
		return &s->matrix;
	case OPT_JSON:
		return &s->json;
	case OPT_ASCII:
		return &s->ascii;
	case OPT_LOOPBACK:
		return &s->jobs.lab.loopback;
	case 'q':
		return &s->quiet;
	case '6':
		return &s->jobs.lab.ipv6;
	default:
		return NULL;
	}
}

/* The options that name a file. */
static const char **file_of(struct lab_settings *s, int id)
{
	return id == OPT_PCAP   ? &s->pcap
	       : id == OPT_HTML ? &s->html
	       : id == OPT_SVG  ? &s->svg
				: NULL;
}

static int set_value(struct lab_settings *s, int id, const char *arg, struct err *e)
{
	struct lab_options *lab = &s->jobs.lab;
	uint64_t n;

	switch (id) {
	case 'j':
		if (num_u64(arg, 1, JOBS_MAX, &n) < 0)
			return err_set(e, -EINVAL, "--jobs takes 1 to %d, not '%s'", JOBS_MAX, arg);
		s->jobs.at_once = (unsigned)n;
		return 0;
	case OPT_TIMEOUT:
		if (num_duration(arg, &lab->timeout_ns) < 0 || lab->timeout_ns == 0)
			return err_set(e, -EINVAL,
				       "--timeout takes a duration such as 60s, not '%s'", arg);
		return 0;
	case OPT_ALLOW:
		if (lab->nallow == ALLOW_MAX)
			return err_set(e, -EINVAL, "--allow may be given %d times", ALLOW_MAX);
		s->allow[lab->nallow++] = arg;
		return 0;
	case OPT_COLOUR:
		if (term_parse_when(arg, &s->colour) < 0)
			return err_set(e, -EINVAL, "--colour is auto, always or never, not '%s'",
				       arg);
		return 0;
	case OPT_LOSS:
		if (num_u64(arg, 0, LOSS_MAX, &n) < 0)
			return err_set(e, -EINVAL, "--loss takes 0 to %d percent, not '%s'",
				       LOSS_MAX, arg);
		lab->loss = (uint32_t)n;
		return 0;
	case OPT_SEED:
		if (num_u64(arg, 0, UINT64_MAX, &lab->seed) < 0)
			return err_set(e, -EINVAL, "--seed takes a number, not '%s'", arg);
		return 0;
	default:
		return -EINVAL;
	}
}

static int set_option(struct lab_settings *s, int id, const char *arg, struct err *e)
{
	bool *flag = flag_of(s, id);
	const char **file = file_of(s, id);

	if (flag)
		*flag = true;
	else if (file)
		*file = arg;
	else
		return set_value(s, id, arg, e);
	return 0;
}

/* The report goes to standard output, unless a file goes there. */
static bool stdout_is_taken(const struct lab_settings *s)
{
	return (s->pcap && !strcmp(s->pcap, "-")) || (s->html && !strcmp(s->html, "-")) ||
	       (s->svg && !strcmp(s->svg, "-"));
}

static FILE *report_file(const struct lab_settings *s)
{
	return stdout_is_taken(s) ? stderr : stdout;
}

struct shown {
	const struct lab_settings *settings;
	struct report_style style;
	struct buf text;
};

/* Writes it out now: what went wrong is known only here. Returns 0 or -errno. */
static int put(FILE *file, const struct buf *text)
{
	errno = 0;
	if (fwrite(text->data, 1, text->len, file) == text->len && fflush(file) == 0)
		return 0;
	return errno ? -errno : -EIO;
}

/* Shows one run when its turn has come. */
static int show(const struct tl_run *run, void *arg)
{
	struct shown *s = arg;
	int r = 0;

	if (s->settings->quiet && !s->settings->json) /* the summary has a line for each */
		return 0;
	if (s->settings->json)
		r = lab_json(&s->text, run);
	else
		r = lab_text(&s->text, run, &s->style);
	if (!s->settings->json)
		buf_str(&s->text, "\n");
	r = s->text.failed ? -ENOMEM : r;
	if (r == 0)
		r = put(report_file(s->settings), &s->text);
	buf_free(&s->text);
	return r;
}

static int list_json(const struct jobs *jobs)
{
	_buf_ struct buf text = { 0 };

	for (size_t i = 0; i < jobs->n; i++)
		if (scenario_json(&text, jobs->jobs[i].entry->theme, jobs->jobs[i].run) < 0)
			return EXIT_CANNOT;
	fwrite(text.data, 1, text.len, stdout);
	return EXIT_FINE;
}

static size_t longest_name(const struct jobs *jobs)
{
	size_t longest = 0;

	for (size_t i = 0; i < jobs->n; i++) {
		_buf_ struct buf name = { 0 };
		const char *text = jobs->jobs[i].entry->name;

		text_escape(&name, text, strlen(text), text_locale_is_utf8());
		if (name.data && text_width(name.data) > longest)
			longest = text_width(name.data);
	}
	return longest;
}

/* --list: each scenario is asked for its title, which runs it up to there. Names and titles are a
 * stranger's. */
static int list(const struct jobs *jobs)
{
	_buf_ struct buf text = { 0 };
	const char *theme = "", *title;
	size_t longest = longest_name(jobs);

	for (size_t i = 0; i < jobs->n; i++) {
		const struct job *j = &jobs->jobs[i];
		_buf_ struct buf name = { 0 };

		if (strcmp(theme, j->entry->theme) != 0) {
			theme = j->entry->theme;
			buf_str(&text, i ? "\n" : "");
			text_escape(&text, theme, strlen(theme), text_locale_is_utf8());
			buf_str(&text, "\n");
		}
		buf_str(&text, "  ");
		text_escape(&name, j->entry->name, strlen(j->entry->name), text_locale_is_utf8());
		buf_str(&text, name.data ? name.data : "");
		buf_fill(&text, ' ', longest - text_width(name.data ? name.data : ""));
		title = j->run->title[0] ? j->run->title : j->run->error;
		buf_str(&text, " ");
		text_escape(&text, title, strlen(title), text_locale_is_utf8());
		buf_str(&text, "\n");
	}
	if (text.failed)
		return EXIT_CANNOT;
	fwrite(text.data, 1, text.len, stdout);
	return EXIT_FINE;
}

static int exit_code(const struct jobs *jobs)
{
	int code = EXIT_FINE;

	for (size_t i = 0; i < jobs->n; i++) {
		switch (jobs->jobs[i].run->status) {
		case TL_PASSED:
			break;
		case TL_SCRIPT:
			code = EXIT_MISUSE;
			break;
		case TL_CANNOT:
			code = code == EXIT_FINE ? EXIT_CANNOT : code;
			break;
		default:
			code = code == EXIT_MISUSE ? code : EXIT_FINDINGS;
			break;
		}
	}
	return code;
}

/* Writes a whole file at once; "-" is standard output. */
static int write_file(const char *path, const struct buf *text, struct err *e)
{
	bool to_stdout = !strcmp(path, "-");
	_fd_ int fd = -1;
	int r;

	if (text->failed)
		return err_set(e, -ENOMEM, "no memory for %s", path);
	fflush(stdout);
	if (!to_stdout)
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (!to_stdout && fd < 0)
		return err_errno(e, -errno, "cannot write %s", path);
	r = fd_write_all(to_stdout ? STDOUT_FILENO : fd, text->data, text->len);
	return r < 0 ? err_errno(e, r, "writing %s", path) : 0;
}

/* Whether a file could be written, without touching it: a run need not be for nothing. Returns 0 or
 * -errno with text. */
static int can_write(const char *path, struct err *e)
{
	char folder[PATH_MAX];
	struct stat st;
	char *slash;

	if (!strcmp(path, "-"))
		return 0;
	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (!slash)
		snprintf(folder, sizeof(folder), ".");
	else
		slash[slash == folder] = '\0';
	if (stat(path, &st) == 0 ? S_ISDIR(st.st_mode) : path[strlen(path) - 1] == '/')
		return err_errno(e, -EISDIR, "cannot write %s", path);
	if (access(path, F_OK) == 0 ? access(path, W_OK) == 0 : access(folder, W_OK | X_OK) == 0)
		return 0;
	return err_errno(e, -errno, "cannot write %s", path);
}

static int can_write_files(const struct lab_settings *s, struct err *e)
{
	const char *const paths[] = { s->pcap, s->html, s->svg };

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		int r = paths[i] ? can_write(paths[i], e) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

/* "wrote x.pcap (25 packets)", where `r` says that it was. */
static void say_written(const struct lab_settings *s, int r, const char *path, size_t n,
			const char *what)
{
	if (r == 0 && !s->quiet && strcmp(path, "-") != 0)
		fprintf(stderr, "unclosed lab: wrote %s (%zu %s%s)\n", path, n, what,
			n == 1 ? "" : "s");
}

/* The capture, the page and the picture. */
static int write_files(const struct lab_settings *s, const struct tl_run *const runs[], size_t n,
		       struct err *e)
{
	_buf_ struct buf page = { 0 };
	_buf_ struct buf picture = { 0 };
	size_t packets = 0;
	int r = 0;

	if (s->pcap) {
		r = lab_pcap(s->pcap, runs, n, &packets, e);
		say_written(s, r, s->pcap, packets, "packet");
	}
	if (r == 0 && s->html) {
		page.failed |= lab_html(&page, runs, n) < 0;
		r = write_file(s->html, &page, e);
		say_written(s, r, s->html, n, "scenario");
	}
	if (r == 0 && s->svg) {
		picture.failed |= lab_svg(&picture, runs[0]) < 0;
		r = write_file(s->svg, &picture, e);
		say_written(s, r, s->svg, n, "scenario");
	}
	return r;
}

/* What all runs together show, and the files. */
static int conclude(const struct lab_settings *s, const struct jobs *jobs,
		    const struct report_style *style, struct err *e)
{
	const struct tl_run **runs = calloc(jobs->n, sizeof(void *));
	struct buf text = { 0 };
	int r = 0;

	if (!runs)
		return err_set(e, -ENOMEM, "no memory for the summary");
	for (size_t i = 0; i < jobs->n; i++)
		runs[i] = jobs->jobs[i].run;
	if (!s->json)
		lab_text_summary(&text, runs, jobs->n, jobs->elapsed_us, style);
	r = text.len > 0 ? put(report_file(s), &text) : 0;
	buf_free(&text);
	r = r < 0 ? err_errno(e, r, "writing the report") : write_files(s, runs, jobs->n, e);
	free(runs);
	return r;
}

/* What is narrower than a diagram breaks its lines. */
static void warn_of_columns(const struct lab_settings *s, const struct report_style *style)
{
	if (style->columns < STYLE_COLUMNS_MIN && !s->quiet && !s->json && !s->list &&
	    isatty(fileno(report_file(s))))
		fprintf(stderr,
			"unclosed lab: a diagram needs %d columns, and this terminal has %u: its "
			"lines will break\n",
			STYLE_COLUMNS_MIN, style->columns);
}

static int run_all(struct lab_settings *s, struct jobs *jobs)
{
	struct shown shown = { .settings = s,
			       .style = term_style(fileno(report_file(s)), s->colour, s->ascii) };
	struct err e = { 0 };
	int r;

	warn_of_columns(s, &shown.style);
	s->jobs.mute = s->list || (s->quiet && !s->json);
	s->jobs.lab.describe = s->list;
	s->jobs.lab.loopback |=
		s->list; /* a script that only says what it is needs no namespaces */
	r = jobs_run(jobs, &s->jobs, s->list ? NULL : show, &shown, &e);
	if (r < 0) {
		fprintf(stderr, "unclosed lab: %s\n", e.text);
		return EXIT_CANNOT;
	}
	if (jobs->interrupted) {
		fflush(stdout);
		signal(jobs->interrupted, SIG_DFL);
		raise(jobs->interrupted);
	}
	if (s->list)
		return s->json ? list_json(jobs) : list(jobs);
	if (conclude(s, jobs, &shown.style, &e) < 0) {
		fprintf(stderr, "unclosed lab: %s\n", e.text);
		return EXIT_CANNOT;
	}
	return exit_code(jobs);
}

/* The file among those to be written that has a scenario's name: --pcap both-close. */
static const char *file_named_as_scenario(const struct lab_settings *s, const struct catalogue *c)
{
	const char *const paths[] = { s->pcap, s->html, s->svg };

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if (paths[i] && catalogue_names(c, paths[i]))
			return paths[i];
	return NULL;
}

static int choose_and_run(struct lab_settings *s, int argc, char **argv, int first)
{
	struct jobs jobs = { 0 };
	struct err e = { 0 };
	const char *const everything[] = { "*" };
	const char *named;
	int r, code;

	if (s->list && first == argc)
		r = jobs_choose(&jobs, everything, 1, &e);
	else
		r = jobs_choose(&jobs, (const char *const *)argv + first, (size_t)(argc - first),
				&e);
	if (r == -ENOENT) {
		code = opts_misuse(&lab_usage, "%s", e.text);
	} else if (r < 0) {
		fprintf(stderr, "unclosed lab: %s\n", e.text);
		code = r == -EINVAL || r == -EFBIG ? EXIT_MISUSE : EXIT_CANNOT;
	} else if ((named = file_named_as_scenario(s, &jobs.all))) {
		code = opts_misuse(
			&lab_usage,
			"'%s' is a scenario, not a FILE to write; ./%s would be a file of "
			"that name",
			named, named);
	} else if (s->json && stdout_is_taken(s)) {
		code = opts_misuse(&lab_usage,
				   "--json and a file named - cannot both have standard output");
	} else if (s->svg && jobs.n != 1) {
		code = opts_misuse(&lab_usage,
				   "--svg shows one scenario, not %zu; --html shows many", jobs.n);
	} else if (!s->list && can_write_files(s, &e) < 0) {
		fprintf(stderr, "unclosed lab: %s\n", e.text);
		code = EXIT_CANNOT;
	} else {
		code = run_all(s, &jobs);
	}
	jobs_free(&jobs);
	return code;
}

static int show_matrix(bool json)
{
	_buf_ struct buf text = { 0 };

	if ((json ? matrix_json(&text) : matrix_text(&text)) < 0)
		return EXIT_CANNOT;
	fwrite(text.data, 1, text.len, stdout);
	return EXIT_FINE;
}

static int run(int argc, char **argv)
{
	struct lab_settings s = { .jobs = { .lab = { .timeout_ns = TIMEOUT_NS, .seed = 1 } } };
	struct err e = { 0 };
	struct opts o;
	int c;

	opts_start(&o, &lab_usage, argc, argv);
	while ((c = opts_next(&o, &e)) != OPTS_DONE) {
		if (c == OPT_HELP) {
			opts_help(&lab_usage);
			return EXIT_FINE;
		}
		if (c == OPT_VERSION) {
			opts_version(lab_usage.name);
			return EXIT_FINE;
		}
		if (c == OPTS_BAD || set_option(&s, c, o.arg, &e) < 0)
			return opts_misuse(&lab_usage, "%s", e.text);
	}
	if (s.matrix)
		return show_matrix(s.json);
	s.jobs.lab.allow = s.allow;
	return choose_and_run(&s, argc, argv, o.rest);
}

const struct cmd cmd_lab = { "lab", &lab_usage, run };
