/* SPDX-License-Identifier: MIT */
/* What the terminal at a descriptor can show. */
#pragma once

#include <stdbool.h>

#include "report/style.h"

enum term_when {
	TERM_AUTO,
	TERM_ALWAYS,
	TERM_NEVER
};

/* Reads the argument of --colour[=WHEN]: "auto", "always", "never"; NULL means always. Returns 0 or
 * -EINVAL. */
int term_parse_when(const char *arg, enum term_when *when);

/* The style for output to `fd`. TERM_AUTO: colour where it is a terminal, TERM is not "dumb" and
 * NO_COLOR is unset or empty. UTF-8 as the locale says (call setlocale() first) unless `ascii`. The
 * width is the terminal's, else $COLUMNS, else 80. */
struct report_style term_style(int fd, enum term_when colour, bool ascii);

/* Whether terminfo describes the terminal that TERM names. */
bool term_is_known(void);
/* Whether it is known as one that cannot be drawn on, such as "dumb". */
bool term_is_dumb(void);

/* Lets the output of a terminal go on that was stopped from its keyboard (^S), as a program must
 * that has something to say there before it ends. */
void term_go_on(int fd);
