/* SPDX-License-Identifier: MIT */
#include "report/matrix.h"

#include <errno.h>
#include <string.h>

#include "report/json_line.h"
#include "report/story.h"

#define CELLS (MATRIX_STATE_COUNT * MATRIX_EVENT_COUNT)

/* Names that stand in cells, each once, in order of their first place. */
struct legend {
	const char *names[CELLS];
	unsigned n;
};

static unsigned place_of(struct legend *l, const char *name)
{
	for (unsigned i = 0; i < l->n; i++)
		if (!strcmp(l->names[i], name))
			return i;
	l->names[l->n] = name;
	return l->n++;
}

int matrix_text(struct buf *out)
{
	struct legend scenarios = { .n = 0 }, reasons = { .n = 0 };

	buf_printf(out, "%-14s", "");
	for (unsigned s = 0; s < MATRIX_STATE_COUNT; s++)
		buf_printf(out, " %10s", tcp_state_name(matrix_states[s]));
	for (unsigned e = 0; e < MATRIX_EVENT_COUNT; e++) {
		buf_printf(out, "\n%-14s", matrix_event_title(e));
		for (unsigned s = 0; s < MATRIX_STATE_COUNT; s++) {
			const struct matrix_cell *c = matrix_cell(s, e);

			if (c->scenario)
				buf_printf(out, " %10u", place_of(&scenarios, c->scenario) + 1);
			else
				buf_printf(out, " %10c", 'a' + (int)place_of(&reasons, c->reason));
		}
	}
	buf_str(out, "\n\nShown by:\n");
	for (unsigned i = 0; i < scenarios.n; i++)
		buf_printf(out, "%4u  %s\n", i + 1, scenarios.names[i]);
	buf_str(out, "\nCannot be reached:\n");
	for (unsigned i = 0; i < reasons.n; i++)
		buf_printf(out, "%4c  %s\n", 'a' + (int)i, reasons.names[i]);
	return out->failed ? -ENOMEM : 0;
}

int matrix_json(struct buf *out)
{
	json_t *cells = json_array();
	int r = 0;

	for (unsigned s = 0; s < MATRIX_STATE_COUNT && r == 0; s++)
		for (unsigned e = 0; e < MATRIX_EVENT_COUNT && r == 0; e++) {
			const struct matrix_cell *c = matrix_cell(s, e);

			r = json_array_append_new(cells,
						  json_pack("{s:s, s:s, s:s, s:s?, s:s?}", "state",
							    tcp_state_name(matrix_states[s]),
							    "event", matrix_event_name(e), "title",
							    matrix_event_title(e), "scenario",
							    c->scenario, "reason", c->reason));
		}
	if (r < 0) {
		json_decref(cells);
		return -ENOMEM;
	}
	return json_line(out,
			 json_pack("{s:i, s:o}", "schema", MATRIX_JSON_SCHEMA, "cells", cells));
}

/* A field of the run as a JSON string: a stranger's bytes, shown escaped. */
static json_t *field(const char *text, size_t cap)
{
	_buf_ struct buf b = { 0 };

	story_field(&b, text, cap, true);
	return b.failed ? NULL : json_stringn(b.data ? b.data : "", b.len);
}
#define FIELD(array) field((array), sizeof(array))

int scenario_json(struct buf *out, const char *theme, const struct tl_run *run)
{
	return json_line(out,
			 json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "schema",
				   MATRIX_JSON_SCHEMA, "theme", field(theme, strlen(theme) + 1),
				   "scenario", FIELD(run->name), "title", FIELD(run->title),
				   "source", FIELD(run->source), "rfc9293", FIELD(run->rfc),
				   "shows", FIELD(run->shows), "error",
				   run->error[0] ? FIELD(run->error) : json_null()));
}
