/* SPDX-License-Identifier: MIT */
/* The diagram in text. From left to right:
 *
 *     time  client's state  client's calls | wire | server's calls  server's state
 *
 * A state stands where it changes. A call leans on the wire and may run into the empty place of
 * the state; where both do not fit, the state comes a line later. On a packet's row the columns of
 * the calls are free: the sender's says "again" of a retransmission, the receiver's what became of
 * the packet. In 80 columns the wire takes 24; what a wider terminal adds goes to the calls first,
 * then to the wire, which then carries sequence numbers too. */
#include "report/diagram.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define STATE_COLUMNS  11
#define LEAST_CALL     12
#define MOST_CALL      20
#define LEAST_WIRE     24
#define MOST_WIRE      72
#define LEAST_COLUMNS  80
#define CALL_LINES     4
#define CALL_LINE_SIZE 96

/* What stands on a row beside the wire, broken into lines. */
struct side_text {
	char lines[CALL_LINES][CALL_LINE_SIZE];
	unsigned n;
	enum paint paint;
};

static const char *bar(const struct diagram *d)
{
	return d->style->utf8 ? "\u2502" : "|";
}

void diagram_paint(struct diagram *d, enum paint paint, const char *text)
{
	style_paint(d->out, d->style, paint, text);
}

void diagram_time(struct diagram *d, int64_t t_us)
{
	char text[STORY_TIME_TEXT], column[STORY_TIME_TEXT + 8];

	snprintf(column, sizeof(column), "%*s ", DIAGRAM_TIME - 1, story_time_text(t_us, text));
	diagram_paint(d, PAINT_DIM, column);
}

unsigned diagram_side(const struct diagram *d)
{
	return STATE_COLUMNS + 1 + d->call;
}

/* --- the wire --- */

struct glyphs {
	const char *dash, *to_right, *to_left, *lost, *held, *made_up;
};

static const struct glyphs utf8_glyphs = { "\u2500", "\u25ba", "\u25c4",
					   "\u2717", "\u2016", "\u2022" };
static const struct glyphs ascii_glyphs = { "-", ">", "<", "x", "!", "*" };

/* Adds the arrow, exactly as wide as the wire. One that is lost or held ends on the way; one from
 * nobody starts there. */
static void add_arrow(struct buf *b, const struct diagram *d, const struct tl_packet *p,
		      const char *label, bool to_right)
{
	const struct glyphs *g = d->style->utf8 ? &utf8_glyphs : &ascii_glyphs;
	bool made_up = p->fate == TL_INJECTED;
	bool stops = p->fate == TL_DROPPED || p->fate == TL_HELD;
	const char *head = to_right ? g->to_right : g->to_left,
		   *tail = made_up ? g->made_up : g->dash;
	size_t text = text_width(label), reach = d->wire, dashes, left;
	bool at_left = made_up ? !to_right : to_right;

	if (stops)
		head = p->fate == TL_HELD ? g->held : g->lost;
	if ((stops || made_up) && d->wire * 4 / 5 >= text + 6)
		reach = d->wire * 4 / 5;
	dashes = reach - text - 4;
	left = (dashes + !to_right) / 2; /* the odd one beside the head */
	buf_fill(b, ' ', at_left ? 0 : d->wire - reach);
	buf_str(b, to_right ? tail : head);
	style_repeat(b, g->dash, left);
	buf_printf(b, " %s ", label);
	style_repeat(b, g->dash, dashes - left);
	buf_str(b, to_right ? head : tail);
	buf_fill(b, ' ', at_left ? d->wire - reach : 0);
}

static void packet_label(struct buf *label, const struct diagram *d, const struct tl_packet *p)
{
	char flags[TL_FLAGS_TEXT];

	story_packet_text(label, p, d->fields);
	if (label->data && text_width(label->data) + 4 <= d->wire)
		return;
	buf_free(label);
	tl_flags_text(p->flags, flags);
	buf_printf(label, "%s %u B", flags, p->len);
	if (label->data && label->len + 4 > d->wire)
		label->data[label->len = d->wire - 4] = '\0';
}

static enum paint packet_paint(const struct tl_packet *p)
{
	if (p->fate == TL_DROPPED || (p->flags & TL_RST))
		return PAINT_BAD;
	if (p->fate != TL_DELIVERED || p->retransmission)
		return PAINT_WAIT;
	return p->flags & (TL_SYN | TL_FIN) ? PAINT_BOLD : PAINT_PLAIN;
}

static void add_wire(struct diagram *d, const struct story_row *row)
{
	const struct tl_packet *p = &d->run->events[row->event].packet;
	_buf_ struct buf label = { 0 };
	_buf_ struct buf arrow = { 0 };

	packet_label(&label, d, p);
	if (label.data)
		add_arrow(&arrow, d, p, label.data, row->to == TL_SERVER);
	if (arrow.data)
		diagram_paint(d, packet_paint(p), arrow.data);
}

/* --- beside the wire --- */

static void set_side(struct side_text *t, enum paint p, const char *text, unsigned width)
{
	_buf_ struct buf b = { 0 };
	const char *line;

	t->paint = p;
	style_wrap(&b, text, 0, width);
	for (line = b.data; line && *line && t->n < CALL_LINES;) {
		size_t len = strcspn(line, "\n");

		if (len >= CALL_LINE_SIZE) /* a word longer than any column */
			len = CALL_LINE_SIZE - 1;
		memcpy(t->lines[t->n], line, len);
		t->lines[t->n++][len] = '\0';
		line += len + (line[len] == '\n');
	}
}

static void call_side(struct diagram *d, const struct story_row *row, struct side_text *t)
{
	const struct tl_call *c = &d->run->events[row->event].call;
	_buf_ struct buf text = { 0 };

	story_row_call_text(&text, d->run, row, d->style->utf8);
	if (text.data)
		set_side(t, c->returned && c->result < 0 ? PAINT_BAD : PAINT_PLAIN, text.data,
			 diagram_side(d) - 1);
}

static void row_sides(struct diagram *d, const struct story_row *row, struct side_text side[2])
{
	const struct tl_event *v = &d->run->events[row->event];

	if (row->kind == STORY_CALL && row->from < 2) {
		call_side(d, row, &side[row->from]);
	} else if (row->kind == STORY_PACKET) {
		if (v->packet.retransmission && row->from < 2)
			set_side(&side[row->from], PAINT_WAIT, "again", d->call);
		set_side(&side[row->to], packet_paint(&v->packet), story_fate_text(&v->packet),
			 d->call);
	} else if (row->kind == STORY_STATE && v->kind == TL_STATE) {
		char why[16] = "";

		if (*story_change_text(d->run, row))
			snprintf(why, sizeof(why), "(%s)", story_change_text(d->run, row));
		for (unsigned i = 0; i < 2; i++)
			if (row->changed[i])
				set_side(&side[i], PAINT_DIM, why, d->call);
	}
}

/* The line on which the state stands: the first that leaves room for it. */
static unsigned state_line(const struct diagram *d, const struct side_text *t, const char *state)
{
	for (unsigned i = 0; i < t->n; i++)
		if (text_width(t->lines[i]) + 1 + strlen(state) <= diagram_side(d) - 1)
			return i;
	return t->n;
}

static void add_left(struct diagram *d, const struct side_text *t, unsigned line, const char *state,
		     enum paint p)
{
	const char *call = line < t->n ? t->lines[line] : "";
	size_t used = strlen(state) + text_width(call), room = diagram_side(d) - 1;

	diagram_paint(d, p, state);
	buf_fill(d->out, ' ', used < room ? room - used : 0);
	diagram_paint(d, t->paint, call);
	buf_str(d->out, " ");
}

static void add_right(struct diagram *d, const struct side_text *t, unsigned line,
		      const char *state, enum paint p)
{
	const char *call = line < t->n ? t->lines[line] : "";
	size_t at = text_width(call), state_at = diagram_side(d) - 1 - STATE_COLUMNS;

	if (*call) {
		buf_str(d->out, " ");
		diagram_paint(d, t->paint, call);
	}
	if (*state) {
		/* A long call pushes a short state to the right, never beyond the edge. */
		if (at + 1 > state_at)
			state_at = at + 1;
		buf_fill(d->out, ' ', state_at - at + !*call);
		diagram_paint(d, p, state);
	}
}

void diagram_row(struct diagram *d, const struct story_row *row)
{
	struct side_text side[2] = { 0 };
	const char *state[2] = { "", "" };
	unsigned at[2], lines = 1;

	row_sides(d, row, side);
	for (unsigned i = 0; i < 2; i++) {
		if (row->changed[i])
			state[i] = tcp_state_name(row->state[i]);
		at[i] = state_line(d, &side[i], state[i]);
		if (side[i].n > lines)
			lines = side[i].n;
		if (row->changed[i] && at[i] + 1 > lines)
			lines = at[i] + 1;
	}
	for (unsigned line = 0; line < lines; line++) {
		if (line == 0)
			diagram_time(d, row->t_us);
		else
			buf_fill(d->out, ' ', DIAGRAM_TIME);
		add_left(d, &side[0], line, line == at[0] ? state[0] : "",
			 style_state_paint(row->state[0]));
		diagram_paint(d, PAINT_DIM, bar(d));
		if (line == 0 && row->kind == STORY_PACKET)
			add_wire(d, row);
		else
			buf_fill(d->out, ' ', d->wire);
		diagram_paint(d, PAINT_DIM, bar(d));
		add_right(d, &side[1], line, line == at[1] ? state[1] : "",
			  style_state_paint(row->state[1]));
		buf_str(d->out, "\n");
	}
}

/* Whether every packet's sequence numbers fit on a wire of that width. */
static bool fields_fit(const struct tl_run *run, const struct story *story, unsigned wire)
{
	for (size_t i = 0; i < story->n; i++) {
		_buf_ struct buf text = { 0 };

		if (story->rows[i].kind != STORY_PACKET)
			continue;
		story_packet_text(&text, &run->events[story->rows[i].event].packet, true);
		if (text.len + 6 > wire)
			return false;
	}
	return true;
}

int diagram_start(struct diagram *d, struct buf *out, const struct tl_run *run,
		  const struct report_style *style)
{
	unsigned most = LEAST_COLUMNS + 2 * (MOST_CALL - LEAST_CALL) + MOST_WIRE - LEAST_WIRE;
	unsigned more;
	int r;

	*d = (struct diagram){ .out = out, .run = run, .style = style };
	r = story_tell(&d->story, run);
	if (r < 0)
		return r;
	d->columns = style->columns < LEAST_COLUMNS ? LEAST_COLUMNS : style->columns;
	if (d->columns > most)
		d->columns = most;
	more = (d->columns - LEAST_COLUMNS) / 2;
	if (more > MOST_CALL - LEAST_CALL)
		more = MOST_CALL - LEAST_CALL;
	d->call = LEAST_CALL + more;
	d->wire = LEAST_WIRE + d->columns - LEAST_COLUMNS - 2 * more;
	d->fields = fields_fit(run, &d->story, d->wire);
	return 0;
}

void diagram_end(struct diagram *d)
{
	story_free(&d->story);
}
