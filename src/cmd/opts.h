/* SPDX-License-Identifier: MIT */
/* One table of options per program or subcommand: it drives parsing, --help and completion. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* Exit codes of every program here. */
enum exit_code {
	EXIT_FINE = 0,
	EXIT_FINDINGS = 1, /* something was found, or an expectation failed */
	EXIT_MISUSE = 2,
	EXIT_CANNOT = 3, /* cannot run here: a privilege, a kernel feature, a full disk */
};

struct opt {
	int id; /* what opts_next() returns; > 0; a short option's letter where there is one */
	const char *name;     /* without the dashes */
	const char *arg;      /* NULL for a flag; "STATE" for a required argument; "[=WHEN]" for an
				 optional one */
	const char *help;     /* one line */
	const char *complete; /* words to complete the argument with, "file", "scenario", or NULL */
};

/* Every table ends in OPTS_END and holds these two. */
#define OPT_HELP    'h'
#define OPT_VERSION 'V'
#define OPTS_COMMON                                                             \
	{ OPT_HELP, "help", NULL, "show this help and exit", NULL },            \
	{                                                                       \
		OPT_VERSION, "version", NULL, "show the version and exit", NULL \
	}
#define OPTS_END                          \
	{                                 \
		0, NULL, NULL, NULL, NULL \
	}

/* How a program or subcommand presents itself. */
struct usage {
	const char *name;     /* "unclosed lab" */
	const char *operands; /* "[scenario...]" */
	const char *summary;  /* one line, no full stop */
	const struct opt *opts;
	const char *more; /* text after the options; NULL */
	const char
		*complete; /* the operands, as struct opt has it; also "command", "state", "host" */
	const int *once;   /* ids, up to a 0, of which a second would silently replace the first;
			      NULL: none */
	bool dashes;       /* operands stand after "--": one before it comes as OPTS_WORD */
};

struct opts {
	const struct usage *usage;
	int argc;
	char **argv;
	const char *arg; /* the argument of the option that opts_next() returned */
	int rest;        /* after OPTS_DONE: index of the first operand */
	uint64_t given;  /* of usage->once, by bit */
};

#define OPTS_DONE (-1)
#define OPTS_BAD  (-2)
#define OPTS_WORD 1 /* `arg` is it */

/* Starts over `argv`, whose [0] is the program's name. */
void opts_start(struct opts *o, const struct usage *u, int argc, char **argv);

/* The next option's id, OPTS_DONE, or OPTS_BAD with one line in `e`, also at the second of those
 * that may be given once. Options may stand after operands unless `--` came before. `--help` and
 * `--version` come as ids like all others. */
int opts_next(struct opts *o, struct err *e);

/* Prints --help on stdout. */
void opts_help(const struct usage *u);

/* Prints "NAME VERSION". */
void opts_version(const char *name);

/* Prints "NAME: text" and where to look for help, on stderr; returns EXIT_MISUSE. */
int opts_misuse(const struct usage *u, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Prints the options as lines "NAME|SHORT|--LONG|ARG|COMPLETE", and the operands as
 * "NAME||||COMPLETE"; the completion is generated from them, and the manual is tested
 * against them. */
void opts_describe(const struct usage *u);
