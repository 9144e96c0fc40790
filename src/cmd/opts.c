/* SPDX-License-Identifier: MIT */
#include "cmd/opts.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "version.h"

#define OPTS_MAX 48

void opts_start(struct opts *o, const struct usage *u, int argc, char **argv)
{
	*o = (struct opts){ .usage = u, .argc = argc, .argv = argv };
	optind = 0; /* glibc: begin anew, and re-read POSIXLY_CORRECT */
	opterr = 0;
}

static bool is_short(const struct opt *o)
{
	return o->id > ' ' && o->id < 127;
}

static int arg_kind(const struct opt *o)
{
	if (!o->arg)
		return no_argument;
	return o->arg[0] == '[' ? optional_argument : required_argument;
}

static bool is_known(const struct opts *o, int id)
{
	for (const struct opt *p = o->usage->opts; p->name; p++)
		if (p->id == id)
			return true;
	return false;
}

/* Says what is wrong with the word that getopt_long() refused, with the nearest name. */
static int refuse(struct opts *o, int code, struct err *e)
{
	const char *word = o->argv[optind - 1], *names[OPTS_MAX], *near;
	char typed[64];
	size_t n = 0;

	if (code == ':' && optopt && strncmp(word, "--", 2))
		err_set(e, 0, "option -%c needs an argument", optopt);
	else if (code == ':')
		err_set(e, 0, "option %s needs an argument", word);
	else if (optopt && !is_known(o, optopt)) /* the word may be the one before: -zq */
		err_set(e, 0, "no option -%c", optopt);
	else if (optopt)
		err_set(e, 0, "option %.*s takes no argument", (int)strcspn(word, "="), word);
	else {
		for (const struct opt *p = o->usage->opts; p->name && n < OPTS_MAX; p++)
			names[n++] = p->name;
		snprintf(typed, sizeof(typed), "%.*s", (int)strcspn(word + 2, "="), word + 2);
		near = text_nearest(typed, names, n);
		if (near)
			err_set(e, 0, "no option --%s; did you mean --%s?", typed, near);
		else
			err_set(e, 0, "no option --%s", typed);
	}
	return OPTS_BAD;
}

/* Whether it is the second of an option that may be given once. */
static bool is_second(struct opts *o, int id)
{
	const int *once = o->usage->once;

	for (unsigned i = 0; once && once[i]; i++) {
		bool before = o->given >> i & 1;

		if (once[i] != id)
			continue;
		o->given |= 1ULL << i;
		return before;
	}
	return false;
}

static const char *name_of(const struct opts *o, int id)
{
	const struct opt *p = o->usage->opts;

	while (p->name && p->id != id)
		p++;
	return p->name;
}

int opts_next(struct opts *o, struct err *e)
{
	struct option longs[OPTS_MAX + 1] = { 0 };
	char shorts[2 * OPTS_MAX + 4] = "-:"; /* "-": operands come in order, as 1 */
	size_t n = 0, s = 2;
	int c;

	for (const struct opt *p = o->usage->opts; p->name && n < OPTS_MAX; p++) {
		longs[n++] = (struct option){ p->name, arg_kind(p), NULL, p->id };
		if (is_short(p)) {
			shorts[s++] = (char)p->id;
			if (arg_kind(p) == required_argument)
				shorts[s++] = ':';
		}
	}
	c = getopt_long(o->argc, o->argv, shorts + !o->usage->dashes, longs, NULL);
	if (c == -1) {
		o->rest = optind;
		return OPTS_DONE;
	}
	if (c == '?' || c == ':')
		return refuse(o, c, e);
	if (is_second(o, c)) {
		err_set(e, 0, "--%s may be given once", name_of(o, c));
		return OPTS_BAD;
	}
	o->arg = optarg;
	return c;
}

static void option_text(const struct opt *o, char *text, size_t cap)
{
	char letter[8] = "    ";
	const char *eq = !o->arg || o->arg[0] == '[' ? "" : "=";

	if (is_short(o))
		snprintf(letter, sizeof(letter), "-%c, ", o->id);
	snprintf(text, cap, "  %s--%s%s%s", letter, o->name, eq, o->arg ? o->arg : "");
}

/* Prints help text from column `indent` on, broken at spaces to fit 80 columns. */
static void print_wrapped(const char *help, int indent)
{
	int room = 79 - indent;

	while ((int)strlen(help) > room) {
		int cut = room;

		while (cut > 0 && help[cut] != ' ')
			cut--;
		if (cut == 0)
			break;
		printf("%.*s\n%*s", cut, help, indent, "");
		help += cut + 1;
	}
	printf("%s\n", help);
}

void opts_help(const struct usage *u)
{
	printf("Usage: %s [options]%s%s\n%s.\n\nOptions:\n", u->name, *u->operands ? " " : "",
	       u->operands, u->summary);
	for (const struct opt *o = u->opts; o->name; o++) {
		char text[96];

		option_text(o, text, sizeof(text));
		if (strlen(text) > 29)
			printf("%s\n%30s", text, "");
		else
			printf("%-30s", text);
		print_wrapped(o->help, 30);
	}
	if (u->more)
		printf("\n%s", u->more);
}

void opts_version(const char *name)
{
	printf("%s %s\n", name, UNCLOSED_VERSION);
}

int opts_misuse(const struct usage *u, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: ", u->name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "; see '%s --help'\n", u->name);
	return EXIT_MISUSE;
}

void opts_describe(const struct usage *u)
{
	for (const struct opt *o = u->opts; o->name; o++) {
		char letter[3] = { '-', (char)o->id, '\0' };

		printf("%s|%s|--%s|%s|%s\n", u->name, is_short(o) ? letter : "", o->name,
		       o->arg ? o->arg : "", o->complete ? o->complete : "");
	}
	printf("%s||||%s\n", u->name, u->complete ? u->complete : "");
}
