/* SPDX-License-Identifier: MIT */
/* The subcommands of unclosed. */
#pragma once

#include "cmd/opts.h"

struct cmd {
	const char *name;
	const struct usage *usage;
	int (*run)(int argc,
		   char **argv); /* argv[0] is "unclosed NAME"; returns an enum exit_code */
};

extern const struct cmd cmd_lab;
extern const struct cmd cmd_watch;
extern const struct cmd cmd_list;
extern const struct cmd cmd_explain;
extern const struct cmd cmd_release;
