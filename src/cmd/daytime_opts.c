/* SPDX-License-Identifier: MIT */
#include "cmd/daytime_opts.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"

/* So that added to a clock they stay far from the end of an int64_t. */
static const int64_t LONGEST_NS = 36525LL * 24 * 3600 * CLOCK_NS_PER_S;

int daytime_duration(const char *word, int64_t *ns, struct err *e)
{
	int64_t value;
	int r = num_duration(word, &value);

	if (r == -ERANGE || (r == 0 && value > LONGEST_NS))
		return err_set(e, -ERANGE, "'%s' is longer than 100 years (36525d)", word);
	if (r < 0)
		return err_set(e, r, "'%s' is no duration; it reads 100s or 250ms", word);
	*ns = value;
	return 0;
}

int daytime_after(const char *word, const char *other, int64_t *hold_ns, struct err *e)
{
	if (!strcmp(word, "close"))
		return AFTER_WORD_CLOSE;
	if (!strcmp(word, other))
		return AFTER_WORD_OTHER;
	if (strncmp(word, "hold:", 5) != 0)
		return err_set(e, -EINVAL, "--after-reply is close, %s or hold:DURATION, not '%s'",
			       other, word);
	return daytime_duration(word + 5, hold_ns, e) < 0 ? -EINVAL : AFTER_WORD_HOLD;
}

int daytime_options(const struct usage *u, int argc, char **argv, daytime_option *take,
		    void *settings, int *rest)
{
	struct err e = { 0 };
	struct opts o;
	int c;

	if (argc == 2 && !strcmp(argv[1], "--describe-options")) {
		opts_describe(u);
		return EXIT_FINE;
	}
	opts_start(&o, u, argc, argv);
	while ((c = opts_next(&o, &e)) != OPTS_DONE) {
		if (c == OPT_HELP) {
			opts_help(u);
			return EXIT_FINE;
		}
		if (c == OPT_VERSION) {
			opts_version(u->name);
			return EXIT_FINE;
		}
		if (c == OPTS_BAD || take(settings, c, o.arg, &e) < 0)
			return opts_misuse(u, "%s", e.text);
	}
	*rest = o.rest;
	return -1;
}
