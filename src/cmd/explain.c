/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/term.h"
#include "report/explain_text.h"

enum {
	OPT_JSON = 256,
	OPT_ASCII,
	OPT_COLOUR
};

static const struct opt explain_opts[] = {
	{ OPT_JSON, "json", NULL, "one JSON object a line for each state or cause", NULL },
	{ OPT_ASCII, "ascii", NULL, "plain ASCII", NULL },
	{ OPT_COLOUR, "colour", "[=WHEN]", "use colour: auto, always or never",
	  "auto always never" },
	OPTS_COMMON,
	OPTS_END,
};

static const struct usage explain_usage = {
	.name = "unclosed explain",
	.operands = "[state|cause...]",
	.summary = "say what a state or a cause is, what keeps it, what ends it, who has to act",
	.opts = explain_opts,
	.complete = "state",
};

struct wish {
	bool json;
	struct report_style style;
};

/* A name may be a state's and a cause's (TIME_WAIT): both are told. Returns false where it is
 * neither. */
static bool add_named(struct buf *out, const char *name, const struct wish *wish)
{
	const struct explain *found = explain_find(name), *cause = explain_cause(name);
	const struct explain *told[] = { found, cause != found ? cause : NULL };

	for (size_t i = 0; i < 2; i++) {
		if (!told[i])
			continue;
		if (wish->json) {
			explain_json(out, told[i], told[i] != cause);
			continue;
		}
		if (out->len)
			buf_str(out, "\n");
		explain_text(out, told[i], &wish->style);
	}
	return found;
}

static void add_all(struct buf *out, const struct wish *wish)
{
	const struct explain *x;

	if (!wish->json) {
		explain_text_all(out, &wish->style);
		return;
	}
	for (size_t i = 0; (x = explain_states(i)); i++)
		explain_json(out, x, true);
	for (size_t i = 0; (x = explain_causes(i)); i++)
		explain_json(out, x, false);
}

static int unknown(const char *name)
{
	const char *near = explain_nearest(name, EXPLAIN_STATES | EXPLAIN_CAUSES);
	_buf_ struct buf typed = { 0 };

	text_escape(&typed, name, strlen(name), text_locale_is_utf8());
	if (near)
		return opts_misuse(&explain_usage, "no state or cause '%s'; did you mean '%s'?",
				   typed.data, near);
	return opts_misuse(&explain_usage, "no state or cause '%s'", typed.data ? typed.data : "");
}

static int print(const struct buf *out)
{
	if (out->failed) {
		fprintf(stderr, "unclosed explain: out of memory\n");
		return EXIT_CANNOT;
	}
	if (fwrite(out->data, 1, out->len, stdout) < out->len || fflush(stdout)) {
		perror("unclosed explain: writing");
		return EXIT_CANNOT;
	}
	return EXIT_FINE;
}

static int explain(struct opts *o, struct wish *wish)
{
	_buf_ struct buf out = { 0 };

	for (int i = o->rest; i < o->argc; i++)
		if (!add_named(&out, o->argv[i], wish))
			return unknown(o->argv[i]);
	if (o->rest == o->argc)
		add_all(&out, wish);
	return print(&out);
}

static int run(int argc, char **argv)
{
	enum term_when colour = TERM_AUTO;
	struct wish wish = { 0 };
	bool ascii = false;
	struct err e = { 0 };
	struct opts o;
	int c;

	opts_start(&o, &explain_usage, argc, argv);
	while ((c = opts_next(&o, &e)) != OPTS_DONE) {
		switch (c) {
		case OPT_JSON:
			wish.json = true;
			break;
		case OPT_ASCII:
			ascii = true;
			break;
		case OPT_COLOUR:
			if (term_parse_when(o.arg, &colour) < 0)
				return opts_misuse(&explain_usage,
						   "--colour is auto, always or never");
			break;
		case OPT_HELP:
			opts_help(&explain_usage);
			return EXIT_FINE;
		case OPT_VERSION:
			opts_version(explain_usage.name);
			return EXIT_FINE;
		default:
			return opts_misuse(&explain_usage, "%s", e.text);
		}
	}
	wish.style = term_style(1, colour, ascii);
	return explain(&o, &wish);
}

const struct cmd cmd_explain = { "explain", &explain_usage, run };
