/* SPDX-License-Identifier: MIT */
#include "report/explain_text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "report/json_line.h"

#define LABEL_COLUMNS 15
#define NAME_COLUMNS  18
#define MOST_COLUMNS  96 /* longer lines are hard to read */

static unsigned width_of(const struct report_style *style)
{
	return style->columns < 60             ? 60
	       : style->columns > MOST_COLUMNS ? MOST_COLUMNS
					       : style->columns;
}

static void add_part(struct buf *out, const struct report_style *style, const char *label,
		     const char *text)
{
	buf_str(out, "  ");
	style_paint(out, style, PAINT_DIM, label);
	buf_fill(out, ' ', LABEL_COLUMNS - strlen(label));
	style_wrap(out, text, 2 + LABEL_COLUMNS, width_of(style) - 2 - LABEL_COLUMNS);
}

static enum paint paint_of(const struct explain *x)
{
	int state = tcp_state_parse(x->name);

	return state >= 0 && x == explain_find(x->name) ? style_state_paint((unsigned)state)
							: PAINT_BOLD;
}

void explain_text(struct buf *out, const struct explain *x, const struct report_style *style)
{
	char rfc[EXPLAIN_RFC_TEXT] = "", scenario[96];
	size_t used = strlen(x->name), right;

	style_paint(out, style, paint_of(x), x->name);
	if (x->rfc) {
		explain_rfc_text(x->rfc, style->utf8, rfc);
		right = width_of(style) - text_width(rfc);
		buf_fill(out, ' ', used < right ? right - used : 1);
		style_paint(out, style, PAINT_DIM, rfc);
	}
	buf_str(out, "\n  ");
	style_wrap(out, x->what, 2, width_of(style) - 2);
	add_part(out, style, "what keeps it", x->keeps);
	add_part(out, style, "what ends it", x->ends);
	add_part(out, style, "who has to act", x->act);
	if (x->scenario) {
		snprintf(scenario, sizeof(scenario), "unclosed lab %s", x->scenario);
		add_part(out, style, "see it", scenario);
	}
}

static void add_line(struct buf *out, const struct explain *x, const struct report_style *style)
{
	buf_str(out, "  ");
	style_paint(out, style, paint_of(x), x->name);
	buf_fill(out, ' ', NAME_COLUMNS - strlen(x->name));
	style_wrap(out, x->what, 2 + NAME_COLUMNS, width_of(style) - 2 - NAME_COLUMNS);
}

void explain_text_all(struct buf *out, const struct report_style *style)
{
	const struct explain *x;

	style_paint(out, style, PAINT_BOLD, "States of a TCP end");
	buf_str(out, "\n");
	for (size_t i = 0; (x = explain_states(i)); i++)
		add_line(out, x, style);
	buf_str(out, "\n");
	style_paint(out, style, PAINT_BOLD,
		    "Causes: why an end stays, as 'unclosed list' names them");
	buf_str(out, "\n");
	for (size_t i = 0; (x = explain_causes(i)); i++)
		add_line(out, x, style);
	buf_str(out, "\n'unclosed explain NAME' tells more of each.\n");
}

int explain_json(struct buf *out, const struct explain *x, bool is_state)
{
	json_t *o = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s?, s:s?}", "schema",
			      EXPLAIN_JSON_SCHEMA, "kind", is_state ? "state" : "cause", "name",
			      x->name, "what", x->what, "keeps", x->keeps, "ends", x->ends, "act",
			      x->act, "rfc9293", x->rfc, "scenario", x->scenario);

	return json_line(out, o);
}
