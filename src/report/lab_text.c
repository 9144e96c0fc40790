/* SPDX-License-Identifier: MIT */
#include "report/lab_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "base/text.h"
#include "report/diagram.h"
#include "tcp/explain.h"

static void add_spaces(struct diagram *d, size_t at, size_t target)
{
	buf_fill(d->out, ' ', at < target ? target - at : 1);
}

/* Adds text over as many lines as it needs, right of the column of times. */
static void add_prose(struct diagram *d, const char *text)
{
	buf_fill(d->out, ' ', DIAGRAM_TIME);
	style_wrap(d->out, text, DIAGRAM_TIME, d->columns - DIAGRAM_TIME);
}

/* Adds a rule across, with a title; a title too long for one line gets more. */
static void add_rule(struct diagram *d, int64_t t_us, const char *title, bool heavy)
{
	const char *dash = d->style->utf8 ? (heavy ? "\u2501" : "\u2500") : (heavy ? "=" : "-");
	_buf_ struct buf lines = { 0 };
	_buf_ struct buf line = { 0 };
	size_t used = DIAGRAM_TIME + 3;
	char *last;

	diagram_time(d, t_us);
	style_repeat(&line, dash, 2);
	buf_str(&line, *title ? " " : dash);
	diagram_paint(d, PAINT_DIM, line.data ? line.data : "");
	buf_free(&line);
	style_wrap(&lines, title, DIAGRAM_TIME + 3, d->columns - DIAGRAM_TIME - 6);
	if (!lines.data)
		return;
	lines.data[lines.len - 1] = '\0'; /* the rule goes on behind the last line */
	diagram_paint(d, PAINT_BOLD, lines.data);
	last = strrchr(lines.data, '\n');
	used = last ? text_width(last + 1) : used + text_width(title);
	if (*title) {
		buf_str(&line, " ");
		used++;
	}
	style_repeat(&line, dash, used < d->columns ? d->columns - used : 0);
	diagram_paint(d, PAINT_DIM, line.data ? line.data : "");
	buf_str(d->out, "\n");
}

static void add_step(struct diagram *d, const struct story_row *row)
{
	const struct tl_event *v = &d->run->events[row->event];
	_buf_ struct buf text = { 0 };

	story_field(&text, v->text, sizeof(v->text), d->style->utf8);
	add_rule(d, row->t_us, text.data ? text.data : "", false);
}

static void add_fold(struct diagram *d, const struct story_row *row)
{
	_buf_ struct buf text = { 0 };

	size_t at = DIAGRAM_TIME + diagram_side(d) - 4, wide;

	buf_str(&text, d->style->utf8 ? "\u22ee " : ": ");
	story_fold_text(&text, d->run, row);
	wide = text_width(text.data ? text.data : "");
	if (at + wide > d->columns)
		at = wide + DIAGRAM_TIME < d->columns ? d->columns - wide : DIAGRAM_TIME;
	buf_fill(d->out, ' ', at);
	diagram_paint(d, PAINT_DIM, text.data ? text.data : "");
	buf_str(d->out, "\n");
}

static void add_conn(struct diagram *d, const struct story_row *row)
{
	_buf_ struct buf text = { 0 };

	story_conn_text(&text, d->run, row);
	add_rule(d, row->t_us, text.data ? text.data : "", false);
}

static void add_failure(struct diagram *d, const struct tl_expect *x)
{
	_buf_ struct buf text = { 0 };

	buf_fill(d->out, ' ', DIAGRAM_TIME);
	diagram_paint(d, PAINT_BAD, d->style->utf8 ? "\u2717 " : "FAILED ");
	story_expect_text(&text, x, d->style->utf8);
	if (x->where[0]) {
		buf_str(&text, " (");
		story_field(&text, x->where, sizeof(x->where), d->style->utf8);
		buf_str(&text, ")");
	}
	style_wrap(d->out, text.data ? text.data : "", DIAGRAM_TIME + 2,
		   d->columns - DIAGRAM_TIME - 8);
}

/* Those that were met, in as few lines as they fit. Returns where the last line ends. */
static size_t add_successes(struct diagram *d, const struct story_row *row)
{
	size_t at = 0;

	for (uint32_t i = 0; i < row->nexpects; i++) {
		const struct tl_expect *x = &d->run->expects[row->first_expect + i];
		_buf_ struct buf text = { 0 };
		size_t wide;

		if (!x->passed)
			continue;
		story_expect_text(&text, x, d->style->utf8);
		wide = (d->style->utf8 ? 2 : 3) + text_width(text.data ? text.data : "");
		if (at > 0 && at + 3 + wide > d->columns) {
			buf_str(d->out, "\n");
			at = 0;
		}
		buf_fill(d->out, ' ', at ? 3 : DIAGRAM_TIME);
		at += (at ? 3 : DIAGRAM_TIME) + wide;
		diagram_paint(d, PAINT_GOOD, d->style->utf8 ? "\u2713 " : "ok ");
		buf_str(d->out, text.data ? text.data : "");
	}
	return at;
}

/* What was expected there; `rfc` at the right end of the last line unless it is empty. */
static void add_expects(struct diagram *d, const struct story_row *row, const char *rfc)
{
	char text[EXPLAIN_RFC_TEXT] = "";
	size_t at;

	for (uint32_t i = 0; i < row->nexpects; i++)
		if (!d->run->expects[row->first_expect + i].passed)
			add_failure(d, &d->run->expects[row->first_expect + i]);
	at = add_successes(d, row);
	if (*rfc)
		explain_rfc_text(rfc, d->style->utf8, text);
	if (*text && at + 2 + text_width(text) > d->columns) {
		buf_str(d->out, "\n");
		at = 0;
	}
	if (*text) {
		add_spaces(d, at, d->columns - text_width(text));
		diagram_paint(d, PAINT_DIM, text);
	}
	if (at || *text)
		buf_str(d->out, "\n");
}

/* Both ends looked at: what keeps each, and who has to act. */
static void add_observation(struct diagram *d, const struct story_row *row)
{
	const struct tl_event *v = &d->run->events[row->event];
	const struct tl_observation *seen;
	_buf_ struct buf title = { 0 };

	if (v->observation >= d->run->nobservations)
		return;
	seen = &d->run->observations[v->observation];
	story_field(&title, seen->title, sizeof(seen->title), d->style->utf8);
	if (!seen->title[0])
		buf_str(&title, "both ends now");
	add_rule(d, row->t_us, title.data ? title.data : "", true);
	for (unsigned side = 0; side < 2; side++) {
		_buf_ struct buf text = { 0 };

		explain_observed(&text, seen, side, d->style->utf8);
		add_prose(d, text.data ? text.data : "");
	}
	add_expects(d, row, v->observation == d->run->main_observation ? d->run->rfc : "");
}

static bool is_drawn(const struct story_row *row)
{
	return row->kind == STORY_PACKET || row->kind == STORY_CALL || row->kind == STORY_STATE ||
	       row->kind == STORY_FOLD;
}

static void add_row(struct diagram *d, const struct story_row *row)
{
	/* The prose of an observation ends where the bars of the wire begin again. */
	if (row > d->story.rows && row[-1].kind == STORY_OBSERVE && is_drawn(row))
		add_rule(d, row->t_us, "", false);
	switch (row->kind) {
	case STORY_STEP:
		add_step(d, row);
		break;
	case STORY_OBSERVE:
		add_observation(d, row);
		break;
	case STORY_EXPECT:
		add_expects(d, row, "");
		break;
	case STORY_FOLD:
		add_fold(d, row);
		break;
	case STORY_CONN:
		add_conn(d, row);
		break;
	default:
		diagram_row(d, row);
		break;
	}
}

/* "client 10.0.0.1:36342  daytime[71]" */
static void add_end_name(struct buf *out, const struct diagram *d, unsigned side)
{
	const struct tl_conn *conn = story_conn(d->run);
	const struct tl_call *actor = story_actor(d->run, side);
	char addr[TCP_ADDR_TEXT];

	buf_printf(out, "%s %s", story_side_name(side),
		   conn ? tcp_addr_text(&conn->addr[side], addr)
			: tcp_addr_host_text(&d->run->host[side], addr));
	if (!actor)
		return;
	buf_str(out, "  ");
	story_field(out, actor->comm, sizeof(actor->comm), d->style->utf8);
	buf_printf(out, "[%" PRId32 "]", actor->pid);
}

/* "name: title", and where it comes from at the right, or below where it does not fit. */
static void add_title(struct diagram *d)
{
	const struct tl_run *run = d->run;
	_buf_ struct buf left = { 0 };
	_buf_ struct buf right = { 0 };
	_buf_ struct buf lines = { 0 };
	size_t wide;

	story_field(&left, run->name, sizeof(run->name), d->style->utf8);
	if (run->title[0]) {
		buf_str(&left, ": ");
		story_field(&left, run->title, sizeof(run->title), d->style->utf8);
	}
	story_field(&right, run->source, sizeof(run->source), d->style->utf8);
	style_wrap(&lines, left.data ? left.data : "", 2, d->columns - 2);
	if (!lines.data)
		return;
	lines.data[lines.len - 1] = '\0';
	diagram_paint(d, PAINT_BOLD, lines.data);
	wide = text_width(lines.data);
	if (right.data && !strchr(lines.data, '\n') &&
	    wide + 2 + text_width(right.data) <= d->columns) {
		add_spaces(d, wide, d->columns - text_width(right.data));
		diagram_paint(d, PAINT_DIM, right.data);
	} else if (right.data && *right.data) {
		buf_free(&lines);
		style_wrap(&lines, right.data, 2, d->columns - 2);
		if (lines.data)
			lines.data[lines.len - 1] = '\0';
		buf_str(d->out, "\n  ");
		diagram_paint(d, PAINT_DIM, lines.data ? lines.data : "");
	}
	buf_str(d->out, "\n");
}

/* The scenario's own explanation, as prose: its line breaks are the script's, not the terminal's.
 */
static void add_shows(struct diagram *d)
{
	char shows[sizeof(d->run->shows) + 1] = "";
	_buf_ struct buf text = { 0 };

	memcpy(shows, d->run->shows, sizeof(d->run->shows));
	for (char *p = shows; *p; p++)
		if (*p == '\n' || *p == '\t')
			*p = ' ';
	text_escape(&text, shows, strlen(shows), d->style->utf8);
	if (!text.data || !*text.data)
		return;
	buf_str(d->out, "  ");
	style_wrap(d->out, text.data, 2, d->columns - 2);
}

static void add_heading(struct diagram *d)
{
	_buf_ struct buf client = { 0 };
	_buf_ struct buf server = { 0 };
	size_t wide;

	add_title(d);
	add_shows(d);
	if (d->run->loopback) {
		buf_str(d->out, "  ");
		diagram_paint(d, PAINT_WAIT, "loopback: states without packets\n");
	}
	add_end_name(&client, d, TL_CLIENT);
	add_end_name(&server, d, TL_SERVER);
	if (!client.data || !server.data)
		return;
	wide = text_width(server.data);
	buf_str(d->out, "\n");
	diagram_paint(d, PAINT_DIM, "   ms ");
	buf_str(d->out, client.data);
	if (DIAGRAM_TIME + client.len + 2 + wide <= d->columns)
		add_spaces(d, DIAGRAM_TIME + client.len, d->columns - wide);
	else
		buf_printf(d->out, "\n%*s", DIAGRAM_TIME, "");
	buf_printf(d->out, "%s\n", server.data);
}

static const char *status_text(const struct tl_run *run)
{
	static const char *const words[] = {
		[TL_RUNNING] = "BROKEN OFF", [TL_PASSED] = "passed",
		[TL_FAILED] = "FAILED",      [TL_BROKEN] = "BROKEN",
		[TL_CANNOT] = "CANNOT RUN",  [TL_SCRIPT] = "WRONG SCRIPT",
	};

	return run->status <= TL_SCRIPT ? words[run->status] : "?";
}

static enum paint status_paint(const struct tl_run *run)
{
	if (run->status == TL_PASSED)
		return PAINT_GOOD;
	return run->status == TL_CANNOT ? PAINT_WAIT : PAINT_BAD;
}

static void add_lost(struct diagram *d)
{
	const struct tl_run *run = d->run;

	const struct {
		uint32_t count;
		const char *what;
	} lost[] = {
		{ run->events_lost, "events" },
		{ run->frames_lost, "frames" },
		{ run->conns_lost, "connections" },
		{ run->expects_lost, "expectations" },
		{ run->observations_lost, "observations" },
	};
	_buf_ struct buf text = { 0 };

	for (size_t i = 0; i < sizeof(lost) / sizeof(lost[0]); i++)
		if (lost[i].count)
			buf_printf(&text, "%s%" PRIu32 " %s", text.len ? ", " : "", lost[i].count,
				   lost[i].what);
	if (!text.len)
		return;
	buf_str(&text, " did not fit into the record.");
	add_prose(d, text.data);
}

static void add_ending(struct diagram *d)
{
	const struct tl_run *run = d->run;
	char took[32], setup[32];
	uint32_t met = 0;

	for (uint32_t i = 0; i < run->nexpects; i++)
		met += run->expects[i].passed;
	add_lost(d);
	diagram_paint(d, status_paint(run), status_text(run));
	if (run->nexpects && run->status <= TL_FAILED)
		buf_printf(d->out, ": %" PRIu32 " of %" PRIu32 " expectations met", met,
			   run->nexpects);
	buf_printf(d->out, ", in %s", num_duration_text(run->run_us * 1000, took, sizeof(took)));
	if (run->setup_us)
		buf_printf(d->out, " after %s of setting up",
			   num_duration_text(run->setup_us * 1000, setup, sizeof(setup)));
	buf_str(d->out, "\n");
	if (run->error[0]) {
		_buf_ struct buf text = { 0 };

		story_field(&text, run->error, sizeof(run->error), d->style->utf8);
		buf_str(d->out, "  ");
		style_wrap(d->out, text.data ? text.data : "", 2, d->columns - 2);
	}
}

int lab_text(struct buf *out, const struct tl_run *run, const struct report_style *style)
{
	struct diagram d;
	int r = diagram_start(&d, out, run, style);

	if (r < 0)
		return r;
	/* A script that went wrong before anything happened has no diagram. */
	if (run->nevents || run->title[0]) {
		add_heading(&d);
	} else {
		story_field(out, run->name, sizeof(run->name), style->utf8);
		buf_str(out, "\n");
	}
	for (size_t i = 0; i < d.story.n; i++)
		add_row(&d, &d.story.rows[i]);
	add_ending(&d);
	diagram_end(&d);
	return out->failed ? -ENOMEM : 0;
}
