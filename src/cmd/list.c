/* SPDX-License-Identifier: MIT */
/* unclosed list: one look at every half-closed, dead or stuck socket, or one every so often. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "cmd/cmd.h"
#include "cmd/filter_opts.h"
#include "cmd/term.h"
#include "doctor/snapshot.h"
#include "report/list.h"

/* JSON is written out in pieces of about this size. */
#define FLUSH_BYTES (1u << 18)
/* Destinations of TIME_WAIT in the summary. */
#define MOST_DESTINATIONS 5
/* A redraw takes longer than this. */
#define LEAST_WATCH_NS (100 * CLOCK_NS_PER_MS)

enum {
	OPT_MORE_THAN = FILTER_OPT_END,
	OPT_SOCKETS,
	OPT_COLUMNS,
	OPT_NO_HEADING,
	OPT_WATCH,
	OPT_JSON,
	OPT_TIER,
	OPT_COLOUR,
};

static const struct opt list_opts[] = {
	FILTER_OPTS,
	{ OPT_MORE_THAN, "more-than", "N", "exit 1 only where more than N sockets need a person",
	  NULL },
	{ OPT_SOCKETS, "sockets", NULL, "each socket on a line, not the summary", NULL },
	{ OPT_COLUMNS, "columns", "NAME[,...]",
	  "each socket on a line, these columns, separated by tabs",
	  "state cause age recv-q send-q local peer pid comm fd netns container cgroup inode cookie "
	  "age-ms age-is holders listener evidence" },
	{ OPT_NO_HEADING, "no-heading", NULL, "no line with the names of the columns", NULL },
	{ OPT_WATCH, "watch", "TIME", "look again after each TIME, until interrupted", NULL },
	{ OPT_JSON, "json", NULL, "one JSON object a line and socket", NULL },
	{ OPT_TIER, "tier", "TIER", "look with bpf or proc, not with the best that works",
	  "bpf proc" },
	{ OPT_COLOUR, "colour", "[=WHEN]", "auto, always or never", "auto always never" },
	OPTS_COMMON,
	OPTS_END,
};

static const int list_once[] = { FILTER_ONCE, 0 };

static const struct usage list_usage = {
	.name = "unclosed list",
	.operands = "",
	.summary = "show every half-closed, dead or stuck socket, with owner, age and cause",
	.opts = list_opts,
	.once = list_once,
	.more = "Exits with 1 where sockets need a person: dead or stuck for 60 s, or --older.\n",
};

struct list {
	struct filter filter;
	struct snapshot_opts snapshot;
	uint64_t more_than;
	int64_t watch_ns; /* 0: once */
	bool json, sockets, heading;
	uint8_t columns[LIST_COLUMNS];
	unsigned columns_n; /* 0: none were chosen */
	enum term_when colour;
	struct report_style style;
};

static const uint8_t usual_columns[] = { LIST_STATE,  LIST_CAUSE,   LIST_AGE,
					 LIST_RECV_Q, LIST_SEND_Q,  LIST_LOCAL,
					 LIST_PEER,   LIST_HOLDERS, LIST_LISTENER };

static int set_tier(struct list *l, const char *arg, struct err *e)
{
	if (!strcmp(arg, "bpf"))
		l->snapshot.tier = SNAPSHOT_BPF;
	else if (!strcmp(arg, "proc"))
		l->snapshot.tier = SNAPSHOT_PROC;
	else
		return err_set(e, -EINVAL, "no tier '%s'; say bpf or proc", arg);
	return 0;
}

static int set_columns(struct list *l, const char *arg, struct err *e)
{
	int n = list_columns_parse(arg, l->columns, e);

	if (n < 0)
		return n;
	l->columns_n = (unsigned)n;
	return 0;
}

static int set_option(struct list *l, int c, const char *arg, struct err *e)
{
	switch (c) {
	case OPT_MORE_THAN:
		if (num_u64(arg, 0, UINT32_MAX, &l->more_than) < 0)
			return err_set(e, -EINVAL, "--more-than %s is no number", arg);
		return 0;
	case OPT_SOCKETS:
		l->sockets = true;
		return 0;
	case OPT_COLUMNS:
		return set_columns(l, arg, e);
	case OPT_NO_HEADING:
		l->heading = false;
		return 0;
	case OPT_WATCH:
		if (num_duration(arg, &l->watch_ns) < 0 || l->watch_ns < LEAST_WATCH_NS)
			return err_set(e, -EINVAL,
				       "--watch %s is no duration of at least 100ms; say 2s", arg);
		return 0;
	case OPT_JSON:
		l->json = true;
		return 0;
	case OPT_TIER:
		return set_tier(l, arg, e);
	case OPT_COLOUR:
		if (term_parse_when(arg, &l->colour) < 0)
			return err_set(e, -EINVAL, "--colour=%s: say auto, always or never", arg);
		return 0;
	default:
		return filter_opt(&l->filter, c, arg, e);
	}
}

static int put(struct buf *out)
{
	int r = out->failed ? -ENOMEM : fd_write_all(STDOUT_FILENO, out->data, out->len);

	out->len = 0;
	return r;
}

static uint64_t older_ms(const struct list *l)
{
	return l->filter.has_older ? l->filter.older_ms : CENSUS_OLDER_MS;
}

static int print_json(const struct list *l, const struct census *c)
{
	_buf_ struct buf out = { 0 };
	int r = 0;

	for (uint32_t i = 0; i < c->sockets_n && r == 0; i++) {
		if (!filter_match(&l->filter, c, &c->sockets[i]))
			continue;
		list_json_socket(&out, c, &c->sockets[i], older_ms(l));
		if (out.len >= FLUSH_BYTES)
			r = put(&out);
	}
	return r == 0 ? put(&out) : r;
}

struct ranked {
	uint32_t index;
	uint32_t worse; /* 2: needs a person; 1: does not end by itself */
	uint64_t age;
};

static int worse_first(const void *pa, const void *pb)
{
	const struct ranked *a = pa, *b = pb;

	if (a->worse != b->worse)
		return a->worse < b->worse ? 1 : -1;
	if (a->age != b->age)
		return a->age < b->age ? 1 : -1;
	return (a->index > b->index) - (a->index < b->index);
}

/* The indices of the sockets that are meant, worst first; NULL without memory. */
static uint32_t *choose(const struct list *l, const struct census *c, uint32_t *n)
{
	struct ranked *ranked = calloc(c->sockets_n + 1, sizeof(*ranked));
	uint32_t *chosen = calloc(c->sockets_n + 1, sizeof(*chosen));

	*n = 0;
	for (uint32_t i = 0; ranked && chosen && i < c->sockets_n; i++) {
		const struct census_socket *s = &c->sockets[i];
		bool normal = TCP_CAUSES_NORMAL & TCP_CAUSE_BIT(s->v.cause);

		if (!filter_match(&l->filter, c, s))
			continue;
		ranked[(*n)++] = (struct ranked){ i,
						  census_needs_person(s, older_ms(l)) ? 2 : !normal,
						  s->v.age_ms };
	}
	if (!ranked || !chosen) {
		free(ranked);
		free(chosen);
		return NULL;
	}
	qsort(ranked, *n, sizeof(*ranked), worse_first);
	for (uint32_t i = 0; i < *n; i++)
		chosen[i] = ranked[i].index;
	free(ranked);
	return chosen;
}

static int print_sockets(const struct list *l, const struct census *c, struct buf *out)
{
	struct list_table t = {
		.columns = l->columns_n ? l->columns : usual_columns,
		.n = l->columns_n ? l->columns_n : sizeof(usual_columns),
		.tabs = l->columns_n > 0,
		.heading = l->heading,
	};
	uint32_t n, *chosen = choose(l, c, &n);

	if (!chosen)
		return -ENOMEM;
	list_table(out, &t, c, chosen, n, &l->style);
	free(chosen);
	return 0;
}

/* The sums know no holder and no age. */
static bool time_wait_is_meant(const struct filter *f)
{
	return !f->pid && !f->comm && !f->cgroup && !f->port && !f->has_peer && !f->older_ms &&
	       (!f->states || f->states & TCP_BIT(TCPS_TIME_WAIT)) &&
	       (!f->causes || f->causes & TCP_CAUSE_BIT(TCP_CAUSE_TIME_WAIT));
}

static void print_text(const struct list *l, const struct census *c, const struct summary *sum,
		       struct buf *out)
{
	list_text_summary(out, c, sum, &l->style);
	if (time_wait_is_meant(&l->filter))
		list_text_time_wait(out, c, MOST_DESTINATIONS);
	list_text_limits(out, c, &l->style);
}

static int summarise(const struct list *l, const struct census *c, struct summary *sum)
{
	int r = 0;

	sum->older_ms = older_ms(l);
	for (uint32_t i = 0; i < c->sockets_n && r == 0; i++)
		if (filter_match(&l->filter, c, &c->sockets[i]))
			r = summary_add(sum, c, &c->sockets[i]);
	summary_sort(sum);
	return r;
}

static int print(const struct list *l, const struct census *c, const struct summary *sum)
{
	_buf_ struct buf out = { 0 };
	int r = 0;

	if (l->json)
		return print_json(l, c);
	if (l->watch_ns && isatty(STDOUT_FILENO))
		buf_str(&out, "\033[H\033[2J"); /* ECMA-48: home, clear */
	if (l->sockets || l->columns_n)
		r = print_sockets(l, c, &out);
	else
		print_text(l, c, sum, &out);
	return r == 0 ? put(&out) : r;
}

static int exit_code(const struct list *l, const struct census *c, const struct summary *sum)
{
	if (sum->findings > l->more_than)
		return EXIT_FINDINGS;
	return c->limits.partial ? EXIT_CANNOT : EXIT_FINE;
}

static int failed(const struct err *e)
{
	fprintf(stderr, "unclosed list: %s\n", e->text);
	return EXIT_CANNOT;
}

static int no_such(const struct err *e)
{
	fprintf(stderr, "unclosed list: %s\n", e->text);
	return EXIT_MISUSE;
}

/* Nothing is found where a filter names what does not exist. Where that was there at first (a
 * container, while it is watched), it may come again. */
static int check(const struct list *l, const struct census *c, const struct summary *sum,
		 bool first, struct err *e)
{
	return first && !sum->sockets ? filter_check(&l->filter, c, e) : 0;
}

/* Beside output in which there is no place for it. */
static void tell_limits(const struct census *c)
{
	_buf_ struct buf out = { 0 };

	if (c->limits.partial)
		fprintf(stderr, "unclosed list: partial: %s\n", c->limits.why);
	if (!c->limits.privileged && list_unseen_line(&out, c) && !out.failed)
		fprintf(stderr, "unclosed list: not seen: %s\n", out.data);
}

/* Shows the look, or why it shows nothing; sets its exit code. What a filter names and the caller
 * may not look into is no reason to call it healthy. Returns 0, or -errno of writing. */
static int show(const struct list *l, const struct census *c, const struct summary *sum, bool first,
		int *code)
{
	struct err e = { 0 };
	bool hidden;
	int r;

	if (check(l, c, sum, first, &e) < 0) {
		*code = no_such(&e);
		return 0;
	}
	hidden = first && filter_check_seen(&l->filter, c, &e) < 0;
	r = hidden && !sum->sockets ? 0 : print(l, c, sum);
	if (r == 0 && hidden) {
		int cannot = failed(&e);

		if (!sum->sockets || (*code == EXIT_FINE && !l->watch_ns))
			*code = cannot;
	}
	return r;
}

static int look(const struct list *l, bool first)
{
	struct summary sum = { 0 };
	struct census c = { 0 };
	struct err e = { 0 };
	int r, code;

	if (snapshot_take(&l->snapshot, &c, &e) < 0)
		return failed(&e);
	r = summarise(l, &c, &sum);
	code = exit_code(l, &c, &sum);
	if (r == 0)
		r = show(l, &c, &sum, first, &code);
	if (r < 0) {
		err_errno(&e, r, "writing the list");
		code = failed(&e);
	} else if (code != EXIT_MISUSE && (l->json || l->sockets || l->columns_n)) {
		tell_limits(&c);
	}
	summary_free(&sum);
	census_free(&c);
	return code;
}

/* Looks until interrupted; the exit code is that of the last look. */
static int watch(const struct list *l)
{
	_fd_ int signals = -1;
	bool first = true;
	sigset_t set;
	int code;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (signals < 0)
		return EXIT_CANNOT;
	for (;;) {
		struct pollfd in = { signals, POLLIN, 0 };
		struct timespec wait = { l->watch_ns / CLOCK_NS_PER_S,
					 l->watch_ns % CLOCK_NS_PER_S };

		code = look(l, first);
		first = false;
		if (code == EXIT_CANNOT || code == EXIT_MISUSE || ppoll(&in, 1, &wait, NULL) != 0)
			return code;
	}
}

static int start(struct list *l)
{
	bool each = l->json || l->sockets || l->columns_n;
	unsigned time_wait = TCP_BIT(TCPS_TIME_WAIT);

	l->snapshot.states = filter_states(&l->filter);
	l->snapshot.only = &l->filter;
	l->snapshot.each_time_wait =
		l->json || (each && (l->filter.states & time_wait ||
				     l->filter.causes & TCP_CAUSE_BIT(TCP_CAUSE_TIME_WAIT)));
	l->style = term_style(STDOUT_FILENO, l->colour, false);
	return l->watch_ns ? watch(l) : look(l, true);
}

static int run(int argc, char **argv)
{
	struct list l = { .heading = true };
	struct opts o;
	struct err e = { 0 };
	int c;

	opts_start(&o, &list_usage, argc, argv);
	while ((c = opts_next(&o, &e)) != OPTS_DONE) {
		if (c == OPT_HELP) {
			opts_help(&list_usage);
			return EXIT_FINE;
		}
		if (c == OPT_VERSION) {
			opts_version(list_usage.name);
			return EXIT_FINE;
		}
		if (c == OPTS_BAD || set_option(&l, c, o.arg, &e) < 0)
			return opts_misuse(&list_usage, "%s", e.text);
	}
	if (o.rest < argc)
		return opts_misuse(&list_usage, "'%s' is not wanted here", argv[o.rest]);
	return start(&l);
}

const struct cmd cmd_list = { "list", &list_usage, run };
