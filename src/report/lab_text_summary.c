/* SPDX-License-Identifier: MIT */
/* What all runs together show. */
#include "report/lab_text.h"

#include <inttypes.h>
#include <string.h>

#include "base/num.h"
#include "base/text.h"
#include "report/story.h"

/* What each of tl_conclusions says. */
static const char *const conclusions[TL_CONCLUSIONS] = {
	"While the passive closer does not close, it stays in CLOSE_WAIT and the active closer in "
	"FIN_WAIT_2:",
	"A process that exits closes its connection all the same:",
};

static bool bears_on(const struct tl_run *run, const char *name)
{
	for (unsigned i = 0; i < 2; i++)
		if (!strncmp(run->conclusion[i], name, sizeof(run->conclusion[i])))
			return true;
	return false;
}

/* What the runs together say of a conclusion. Only an expectation that was not met speaks against
 * it: a run that was broken off, or could not be, says nothing. */
enum said {
	SAID_HOLDS,
	SAID_FAILS,
	SAID_UNTRIED,
};

static enum said said_by(const struct tl_run *run)
{
	return run->status == TL_PASSED   ? SAID_HOLDS
	       : run->status == TL_FAILED ? SAID_FAILS
					  : SAID_UNTRIED;
}

/* "a, b and c": the runs on `name` that say so. */
static void add_runs(struct buf *out, const struct tl_run *const runs[], size_t n, const char *name,
		     enum said said, bool utf8)
{
	size_t count = 0, at = 0;

	for (size_t i = 0; i < n; i++)
		count += bears_on(runs[i], name) && said_by(runs[i]) == said;
	for (size_t i = 0; i < n; i++) {
		if (!bears_on(runs[i], name) || said_by(runs[i]) != said)
			continue;
		if (at > 0)
			buf_str(out, at + 1 == count ? " and " : ", ");
		at++;
		story_field(out, runs[i]->name, sizeof(runs[i]->name), utf8);
	}
}

static void add_conclusion(struct buf *out, const struct tl_run *const runs[], size_t n,
			   size_t which, const struct report_style *style)
{
	static const struct {
		const char *word, *by;
		enum paint paint;
	} verdicts[] = {
		[SAID_HOLDS] = { "holds", "shown by", PAINT_GOOD },
		[SAID_FAILS] = { "does not hold here", "see", PAINT_BAD },
		[SAID_UNTRIED] = { "was not tried", "see", PAINT_WAIT },
	};
	const char *name = tl_conclusions[which];
	unsigned width = style->columns < 80 ? 80 : style->columns, count[3] = { 0 };
	enum said said;
	_buf_ struct buf text = { 0 };
	_buf_ struct buf lines = { 0 };

	for (size_t i = 0; i < n; i++) {
		if (bears_on(runs[i], name))
			count[said_by(runs[i])]++;
	}
	if (!count[SAID_HOLDS] && !count[SAID_FAILS] && !count[SAID_UNTRIED])
		return;
	said = count[SAID_FAILS] ? SAID_FAILS : count[SAID_UNTRIED] ? SAID_UNTRIED : SAID_HOLDS;
	if (width > 100)
		width = 100;
	buf_str(out, "\n");
	style_wrap(out, conclusions[which], 0, width);
	buf_printf(&text, "%s: %s ", verdicts[said].word, verdicts[said].by);
	add_runs(&text, runs, n, name, said, style->utf8);
	if (!text.data)
		return;
	style_wrap(&lines, text.data, 2, width - 2);
	buf_str(out, "  ");
	style_paint(out, style, verdicts[said].paint, verdicts[said].word);
	buf_str(out, lines.data ? lines.data + strlen(verdicts[said].word) : "\n");
}

static const struct tl_expect *first_failure(const struct tl_run *run)
{
	for (uint32_t i = 0; i < run->nexpects; i++)
		if (!run->expects[i].passed)
			return &run->expects[i];
	return NULL;
}

void lab_text_line(struct buf *out, const struct tl_run *run, const struct report_style *style)
{
	const struct tl_expect *failed = first_failure(run);
	bool good = run->status == TL_PASSED;
	_buf_ struct buf name = { 0 };
	char took[32];

	story_field(&name, run->name, sizeof(run->name), style->utf8);
	if (style->utf8)
		style_paint(out, style, good ? PAINT_GOOD : PAINT_BAD,
			    good ? "\u2713 " : "\u2717 ");
	else
		style_paint(out, style, good ? PAINT_GOOD : PAINT_BAD,
			    good ? "ok     " : "FAILED ");
	buf_printf(out, "%-40s %8s", name.data ? name.data : "",
		   num_duration_text((run->setup_us + run->run_us) * 1000, took, sizeof(took)));
	if (run->loopback)
		buf_str(out, "  loopback: states without packets");
	if (!good && run->error[0]) {
		buf_str(out, "  ");
		story_field(out, run->error, sizeof(run->error), style->utf8);
	} else if (!good && failed) {
		buf_str(out, "  ");
		story_expect_text(out, failed, style->utf8);
	} else if (run->status == TL_RUNNING) {
		buf_str(out, "  ended before its script did");
	}
	buf_str(out, "\n");
}

void lab_text_summary(struct buf *out, const struct tl_run *const runs[], size_t n, int64_t wall_us,
		      const struct report_style *style)
{
	size_t passed = 0;
	char took[32];

	for (size_t i = 0; i < n; i++)
		passed += runs[i]->status == TL_PASSED;
	for (size_t i = 0; i < n; i++)
		lab_text_line(out, runs[i], style);
	style_paint(out, style, passed == n ? PAINT_GOOD : PAINT_BAD,
		    passed == n ? "all passed" : "not all passed");
	buf_printf(out, ": %zu of %zu scenario%s in %s\n", passed, n, n == 1 ? "" : "s",
		   num_duration_text(wall_us * 1000, took, sizeof(took)));
	for (size_t i = 0; i < TL_CONCLUSIONS; i++)
		add_conclusion(out, runs, n, i, style);
}
