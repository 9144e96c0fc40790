/* SPDX-License-Identifier: MIT */
/* unclosed list: one look at every half-closed, dead or stuck socket. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "cmd/cmd.h"
#include "cmd/filter_opts.h"
#include "doctor/snapshot.h"
#include "report/list.h"

/* What is younger than this needs nobody yet, unless --older says otherwise. */
#define DEFAULT_OLDER_MS 60000
/* JSON is written out in pieces of about this size. */
#define FLUSH_BYTES (1u << 18)

enum {
	OPT_JSON = FILTER_OPT_END,
	OPT_TIER,
};

static const struct opt list_opts[] = {
	FILTER_OPTS,
	{ OPT_JSON, "json", NULL, "one JSON object a line and socket", NULL },
	{ OPT_TIER, "tier", "TIER", "look with bpf or proc, not with the best that works",
	  "bpf proc" },
	OPTS_COMMON,
	OPTS_END,
};

static const struct usage list_usage = {
	.name = "unclosed list",
	.operands = "",
	.summary = "show every half-closed, dead or stuck socket, with owner, age and cause",
	.opts = list_opts,
};

struct list {
	struct filter filter;
	struct snapshot_opts snapshot;
	bool json;
};

static int set_tier(struct list *l, const char *arg, struct err *e)
{
	if (!strcmp(arg, "bpf"))
		l->snapshot.tier = SNAPSHOT_BPF;
	else if (!strcmp(arg, "proc"))
		l->snapshot.tier = SNAPSHOT_PROC;
	else
		return err_set(e, -1, "no tier '%s'; say bpf or proc", arg);
	return 0;
}

static int print_json(const struct list *l, const struct census *c)
{
	_buf_ struct buf out = { 0 };

	for (uint32_t i = 0; i < c->sockets_n; i++) {
		if (!filter_match(&l->filter, c, &c->sockets[i]))
			continue;
		list_json_socket(&out, c, &c->sockets[i]);
		if (out.len < FLUSH_BYTES)
			continue;
		if (fd_write_all(STDOUT_FILENO, out.data, out.len) < 0)
			return -1;
		out.len = 0;
	}
	return out.failed || fd_write_all(STDOUT_FILENO, out.data, out.len) < 0 ? -1 : 0;
}

static int verdict(const struct list *l, const struct census *c)
{
	uint64_t older = l->filter.has_older ? l->filter.older_ms : DEFAULT_OLDER_MS;

	for (uint32_t i = 0; i < c->sockets_n; i++)
		if (filter_match(&l->filter, c, &c->sockets[i]) &&
		    census_needs_person(&c->sockets[i], older))
			return EXIT_FINDINGS;
	return c->limits.partial ? EXIT_CANNOT : EXIT_FINE;
}

static int look(struct list *l)
{
	struct census c = { 0 };
	struct err e = { 0 };
	int r;

	l->snapshot.states = filter_states(&l->filter);
	l->snapshot.only = &l->filter;
	l->snapshot.each_time_wait = l->json;
	if (snapshot_take(&l->snapshot, &c, &e) < 0) {
		fprintf(stderr, "unclosed list: %s\n", e.text);
		return EXIT_CANNOT;
	}
	r = print_json(l, &c) < 0 ? EXIT_CANNOT : verdict(l, &c);
	if (c.limits.partial)
		fprintf(stderr, "unclosed list: partial: %s\n", c.limits.why);
	census_free(&c);
	return r;
}

static int run(int argc, char **argv)
{
	struct list l = { 0 };
	struct opts o;
	struct err e = { 0 };
	int c;

	opts_start(&o, &list_usage, argc, argv);
	while ((c = opts_next(&o, &e)) != OPTS_DONE) {
		int r = 0;

		switch (c) {
		case OPT_HELP:
			opts_help(&list_usage);
			return EXIT_FINE;
		case OPT_VERSION:
			opts_version(list_usage.name);
			return EXIT_FINE;
		case OPT_JSON:
			l.json = true;
			break;
		case OPT_TIER:
			r = set_tier(&l, o.arg, &e);
			break;
		case OPTS_BAD:
			r = -1;
			break;
		default:
			r = filter_opt(&l.filter, c, o.arg, &e);
		}
		if (r < 0)
			return opts_misuse(&list_usage, "%s", e.text);
	}
	if (o.rest < argc)
		return opts_misuse(&list_usage, "'%s' is not wanted here", argv[o.rest]);
	return look(&l);
}

const struct cmd cmd_list = { "list", &list_usage, run };
