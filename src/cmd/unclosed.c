/* SPDX-License-Identifier: MIT */
/* unclosed: finds the subcommand and runs it. */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "cmd/cmd.h"

static const struct cmd *const cmds[] = {
	&cmd_lab, &cmd_watch, &cmd_list, &cmd_explain, &cmd_release,
};
#define CMD_COUNT (sizeof(cmds) / sizeof(cmds[0]))

static const struct opt main_opts[] = {
	OPTS_COMMON,
	OPTS_END,
};

static const struct usage main_usage = {
	.name = "unclosed",
	.operands = "command ...",
	.summary = "What happens to a TCP connection when one side does not close its socket",
	.opts = main_opts,
	.complete = "command",
};

static void help(void)
{
	opts_help(&main_usage);
	printf("\nCommands:\n");
	for (size_t i = 0; i < CMD_COUNT; i++)
		printf("  %-10s %s\n", cmds[i]->name, cmds[i]->usage->summary);
	printf("\n'unclosed help COMMAND' tells more of each.\n");
}

static const struct cmd *find(const char *name)
{
	for (size_t i = 0; i < CMD_COUNT; i++)
		if (!strcmp(cmds[i]->name, name))
			return cmds[i];
	return NULL;
}

static int unknown(const char *name)
{
	const char *names[CMD_COUNT], *near;

	for (size_t i = 0; i < CMD_COUNT; i++)
		names[i] = cmds[i]->name;
	near = text_nearest(name, names, CMD_COUNT);
	if (near)
		return opts_misuse(&main_usage, "no command '%s'; did you mean '%s'?", name, near);
	return opts_misuse(&main_usage, "no command '%s'", name);
}

static void describe(void)
{
	opts_describe(&main_usage);
	for (size_t i = 0; i < CMD_COUNT; i++)
		opts_describe(cmds[i]->usage);
}

/* A standard descriptor that is closed would be given to the next file or socket that is opened,
 * and the report written there. This one fails when it is written to. */
static void open_standard(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			open("/dev/null", O_RDONLY); /* the lowest that is free: fd */
}

/* What could not be written is no success. */
static int finish(int code)
{
	int why = fflush(stdout) == 0 ? 0 : errno;

	if (why == 0 && !ferror(stdout))
		return code;
	if (code != EXIT_CANNOT)
		fprintf(stderr, "unclosed: writing to standard output failed%s%s\n",
			why ? ": " : "", why ? strerror(why) : "");
	return EXIT_CANNOT;
}

static int dispatch(int argc, char **argv)
{
	const struct cmd *cmd;

	if (argc < 2)
		return opts_misuse(&main_usage, "no command given");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		help();
		return EXIT_FINE;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		opts_version("unclosed");
		return EXIT_FINE;
	}
	if (!strcmp(argv[1], "--describe-options")) { /* for the completion's generator */
		describe();
		return EXIT_FINE;
	}
	if (argv[1][0] == '-')
		return opts_misuse(&main_usage, "no option %s before a command", argv[1]);
	if (!strcmp(argv[1], "help") && argc > 2) {
		cmd = find(argv[2]);
		if (!cmd)
			return unknown(argv[2]);
		opts_help(cmd->usage);
		return EXIT_FINE;
	}
	if (!strcmp(argv[1], "help")) {
		help();
		return EXIT_FINE;
	}
	cmd = find(argv[1]);
	if (!cmd)
		return unknown(argv[1]);
	argv[1] = (char *)cmd->usage->name;
	return cmd->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
	open_standard();
	setlocale(LC_ALL, "");
	return finish(dispatch(argc, argv));
}
