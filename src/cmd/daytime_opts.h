/* SPDX-License-Identifier: MIT */
/* What daytime's and daytimed's command lines have in common. */
#pragma once

#include <stdint.h>

#include "cmd/opts.h"

/* What to do once the reply is there. The middle one differs: the server keeps the connection, the
 * client exits without closing it. */
enum after_word {
	AFTER_WORD_CLOSE,
	AFTER_WORD_OTHER,
	AFTER_WORD_HOLD,
};

/* Reads a duration of at most 100 years, in nanoseconds. Returns 0; or -errno, with `ns` untouched
 * and what is wrong in `e`. */
int daytime_duration(const char *word, int64_t *ns, struct err *e);

/* Reads --after-reply's argument: "close", `other`, or "hold:DURATION", whose duration goes to
 * `hold_ns`. Returns an enum after_word, or -EINVAL. */
int daytime_after(const char *word, const char *other, int64_t *hold_ns, struct err *e);

/* Takes one option; 0, or -errno with what is wrong in `e`. */
typedef int daytime_option(void *settings, int id, const char *arg, struct err *e);

/* Reads all options, and answers --help, --version and --describe-options. Returns -1 to go on,
 * with the index of the first operand in `rest`, or an exit code. */
int daytime_options(const struct usage *u, int argc, char **argv, daytime_option *take,
		    void *settings, int *rest);
