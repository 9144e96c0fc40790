/* SPDX-License-Identifier: MIT */
#include <stddef.h>

#include "cmd/cmd.h"

static const struct opt lab_opts[] = {
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
};

static int run(int argc, char **argv)
{
	struct opts o;
	struct err e = { 0 };
	int c;

	opts_start(&o, &lab_usage, argc, argv);
	while ((c = opts_next(&o, &e)) != OPTS_DONE) {
		switch (c) {
		case OPT_HELP:
			opts_help(&lab_usage);
			return EXIT_FINE;
		case OPT_VERSION:
			opts_version(lab_usage.name);
			return EXIT_FINE;
		default:
			return opts_misuse(&lab_usage, "%s", e.text);
		}
	}
	return EXIT_CANNOT;
}

const struct cmd cmd_lab = { "lab", &lab_usage, run };
