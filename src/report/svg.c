/* SPDX-License-Identifier: MIT */
/* From left to right: time, the client's calls and states, the client's lifeline, the packets, the
 * server's lifeline, its calls and states. A lifeline has the colour of the state that its end is
 * in. Each row is drawn at its own origin and moved into place; its height follows from what stands
 * in it. The width is that at which the letters can still be read on a phone. */
#include "report/svg.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "page.h"
#include "report/style.h"
#include "report/xml.h"
#include "tcp/explain.h"

#define WIDTH      576
#define ONE_SHEET  1100 /* highest that is still legible when made to fit a sheet of paper */
#define TIME_X     42
#define CLIENT_X   198
#define SERVER_X   420
#define GAP        10 /* between a lifeline and the text beside it */
#define CALL_WRAP  20 /* letters */
#define PROSE_WRAP 68
#define TITLE_WRAP 44  /* leaves room for "RFC 9293 3.6" */
#define LINE       18  /* height of a line of text */
#define LETTER     7.8 /* width of a letter in a state's label */
#define LABEL_H    20

struct drawing {
	struct buf *out;
	const struct tl_run *run;
	int y;
};

static int lifeline(unsigned side)
{
	return side == TL_CLIENT ? CLIENT_X : SERVER_X;
}

/* Where text beside a lifeline is anchored: outside of it. */
static int beside(unsigned side)
{
	return side == TL_CLIENT ? CLIENT_X - GAP : SERVER_X + GAP;
}

static const char *anchor(unsigned side)
{
	return side == TL_CLIENT ? "end" : "start";
}

static void add_side_text(struct drawing *d, unsigned side, int y, const char *class,
			  const char *text)
{
	buf_printf(d->out, "<text class=\"%s\" x=\"%d\" y=\"%d\" text-anchor=\"%s\">", class,
		   beside(side), y, anchor(side));
	xml_text(d->out, text);
	buf_str(d->out, "</text>");
}

/* The state's name in a box of its colour. */
static void add_state(struct drawing *d, unsigned side, int y, unsigned state)
{
	const char *name = tcp_state_name(state);
	double wide = LETTER * (double)strlen(name) + 12;
	double x = side == TL_CLIENT ? beside(side) - wide : beside(side);

	buf_printf(d->out,
		   "<g class=\"state s-%s\"><rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" "
		   "rx=\"6\"/><text x=\"%.1f\" y=\"%d\">%s</text></g>",
		   name, x, y, wide, LABEL_H, x + wide / 2, y + 15, name);
}

static void add_lifelines(struct drawing *d, const struct story_row *row, int height)
{
	for (unsigned side = 0; side < 2; side++)
		buf_printf(d->out, "<path class=\"life s-%s\" d=\"M%d -.3V%d.3\"/>",
			   tcp_state_name(row->state[side]), lifeline(side), height);
}

static void add_time(struct drawing *d, const struct story_row *row, int y)
{
	char text[STORY_TIME_TEXT];

	buf_printf(d->out, "<text class=\"time\" x=\"%d\" y=\"%d\">%s</text>", TIME_X, y,
		   story_time_text(row->t_us, text));
}

/* Opens the group of a row; closed by end_row(). */
static void begin_row(struct drawing *d, const struct story_row *row, const char *class, int height)
{
	_buf_ struct buf words = { 0 };

	story_row_text(&words, d->run, row);
	buf_printf(d->out,
		   "<g class=\"row %s\" transform=\"translate(0 %d)\" data-client=\"%s\" "
		   "data-server=\"%s\" role=\"img\" aria-label=\"",
		   class, d->y, tcp_state_name(row->state[0]), tcp_state_name(row->state[1]));
	if (words.data)
		xml_text(d->out, words.data);
	buf_str(d->out, "\"");
	if (row->kind == STORY_PACKET) {
		const struct tl_packet *p = &d->run->events[row->event].packet;
		char flags[TL_FLAGS_TEXT];

		buf_printf(d->out, " tabindex=\"0\" data-packet=\"%s|%u|%" PRIu32 "|",
			   tl_flags_text(p->flags, flags), p->len, p->seq);
		if (p->flags & TL_ACK)
			buf_printf(d->out, "%" PRIu32, p->ack);
		buf_printf(d->out, "|%" PRIu32 "|%s%s|%s to %s", p->window,
			   *story_fate_text(p) ? story_fate_text(p) : "arrived",
			   p->retransmission ? ", sent again" : "", story_side_name(row->from),
			   story_side_name(row->to));
		buf_str(d->out, "\"");
	}
	buf_printf(d->out, ">\n<rect class=\"hit\" x=\"1\" width=\"%d\" height=\"%d\" rx=\"4\"/>",
		   WIDTH - 2, height);
	d->y += height;
}

static void end_row(struct drawing *d)
{
	buf_str(d->out, "</g>\n");
}

/* --- rows --- */

/* The arrow's shaft, from the sender to where it ends; lost and held ones end on the way, those
 * from nobody start there. */
static void add_arrow(struct drawing *d, const struct story_row *row, const struct tl_packet *p)
{
	int dir = row->to == TL_SERVER ? 1 : -1, reach = SERVER_X - CLIENT_X - 8;
	int x = lifeline(!row->to) + 3 * dir, y = 18, slope = 10;
	bool stops = p->fate == TL_DROPPED || p->fate == TL_HELD;
	int end_x, end_y;

	if (p->fate == TL_INJECTED) {
		x += dir * reach / 4;
		reach -= reach / 4;
		y += slope / 4;
		slope -= slope / 4;
		buf_printf(d->out, "<circle class=\"origin\" cx=\"%d\" cy=\"%d\" r=\"4\"/>", x, y);
	}
	if (stops) {
		reach = reach * 3 / 4;
		slope = slope * 3 / 4;
	}
	end_x = x + dir * reach;
	end_y = y + slope;
	buf_printf(d->out, "<path class=\"shaft\" d=\"M%d %dL%d %d\"/>", x, y, end_x, end_y);
	if (p->fate == TL_DROPPED)
		buf_printf(d->out, "<path class=\"cross\" d=\"M%d %dl10 10m0 -10l-10 10\"/>",
			   end_x - 5, end_y - 5);
	else if (stops)
		buf_printf(d->out, "<path class=\"bars\" d=\"M%d %dv12m5 0v-12\"/>", end_x - 2,
			   end_y - 6);
	else
		buf_printf(d->out, "<path class=\"head\" d=\"M%d %dl%d -5v10z\"/>", end_x + 2 * dir,
			   end_y, -10 * dir);
}

static const char *packet_class(const struct tl_packet *p)
{
	if (p->fate == TL_DROPPED || (p->flags & TL_RST))
		return "packet bad";
	if (p->fate != TL_DELIVERED || p->retransmission)
		return "packet odd";
	return p->flags & (TL_SYN | TL_FIN) ? "packet strong" : "packet";
}

static void add_packet(struct drawing *d, const struct story_row *row)
{
	const struct tl_packet *p = &d->run->events[row->event].packet;
	int middle = (CLIENT_X + SERVER_X) / 2, slant = row->to == TL_SERVER ? 1 : -1;
	const char *fate = story_fate_text(p);
	_buf_ struct buf label = { 0 };

	begin_row(d, row, packet_class(p), 38);
	story_packet_text(&label, p, true);
	if (label.data) {
		buf_str(d->out, "<title>");
		xml_text(d->out, label.data);
		buf_str(d->out, "</title>");
	}
	add_lifelines(d, row, 38);
	add_time(d, row, 22);
	add_arrow(d, row, p);
	buf_free(&label);
	story_packet_text(&label, p, false);
	buf_printf(
		d->out,
		"<text class=\"label\" x=\"%d\" y=\"17\" transform=\"rotate(%.1f %d 17)\">%s</text>",
		middle, 2.6 * slant, middle, label.data ? label.data : "");
	for (unsigned side = 0; side < 2; side++) {
		const char *note = side == row->to ? fate : p->retransmission ? "again" : "";
		bool both = row->changed[side] && *note;

		if (*note)
			add_side_text(d, side, both ? 13 : 26, "note", note);
		if (row->changed[side])
			add_state(d, side, both ? 17 : 11, row->state[side]);
	}
	end_row(d);
}

/* Adds `text` broken into lines, each by `add`; returns how many. */
static int wrap_lines(struct buf *lines, const char *text, unsigned width)
{
	int n = 0;

	style_wrap(lines, text, 0, width);
	for (char *p = lines->data; p && *p; p++)
		n += *p == '\n';
	return n;
}

/* Cuts the next line off; NULL at the end. */
static char *next_line(char **rest)
{
	char *line = *rest, *end;

	if (!line || !*line)
		return NULL;
	end = strchr(line, '\n');
	if (end)
		*end++ = '\0';
	*rest = end;
	return line;
}

/* How many letters of a call fit beside the lifeline: capitals are wide. */
static unsigned call_wrap(const char *text)
{
	unsigned capitals = 0;

	for (; *text; text++)
		capitals += *text >= 'A' && *text <= 'Z';
	return CALL_WRAP - (3 * capitals + 9) / 10;
}

static void add_call(struct drawing *d, const struct story_row *row)
{
	const struct tl_call *c = &d->run->events[row->event].call;
	unsigned side = row->from < 2 ? row->from : TL_CLIENT;
	_buf_ struct buf text = { 0 };
	_buf_ struct buf lines = { 0 };
	int n = 1, height, y = 16;
	char *rest, *line;

	story_row_call_text(&text, d->run, row, true);
	if (text.data)
		n = wrap_lines(&lines, text.data, call_wrap(text.data));
	height = 6 + LINE * n + (row->changed[side] ? LABEL_H + 2 : 0);
	if (row->changed[!side] && height < LABEL_H + 4)
		height = LABEL_H + 4;
	begin_row(d, row, c->returned && c->result < 0 ? "call bad" : "call", height);
	add_lifelines(d, row, height);
	add_time(d, row, y);
	for (rest = lines.data; (line = next_line(&rest)); y += LINE)
		add_side_text(d, side, y, "act", line);
	buf_printf(d->out, "<circle class=\"dot\" cx=\"%d\" cy=\"12\" r=\"3.5\"/>", lifeline(side));
	if (row->changed[side])
		add_state(d, side, y - 12, row->state[side]);
	if (row->changed[!side])
		add_state(d, !side, 2, row->state[!side]);
	end_row(d);
}

static void add_change(struct drawing *d, const struct story_row *row)
{
	const char *why = story_change_text(d->run, row);

	begin_row(d, row, "change", 28);
	add_lifelines(d, row, 28);
	add_time(d, row, 18);
	for (unsigned side = 0; side < 2; side++)
		if (row->changed[side])
			add_state(d, side, 4, row->state[side]);
	if (*why)
		buf_printf(d->out, "<text class=\"label\" x=\"%d\" y=\"18\">%s</text>",
			   (CLIENT_X + SERVER_X) / 2, why);
	end_row(d);
}

static void add_step(struct drawing *d, const struct story_row *row)
{
	_buf_ struct buf lines = { 0 };
	_buf_ struct buf text = { 0 };
	char *rest, *line;
	int n, y = 24;

	if (row->kind == STORY_CONN)
		story_conn_text(&text, d->run, row);
	else
		story_field(&text, d->run->events[row->event].text,
			    sizeof(d->run->events[row->event].text), true);
	n = wrap_lines(&lines, text.data ? text.data : "", PROSE_WRAP - 8);
	begin_row(d, row, "step", 16 + LINE * (n ? n : 1));
	add_time(d, row, y);
	for (rest = lines.data; (line = next_line(&rest)); y += LINE) {
		buf_printf(d->out, "<text x=\"52\" y=\"%d\">", y);
		xml_text(d->out, line);
		buf_str(d->out, "</text>");
	}
	buf_printf(d->out, "<path class=\"rule\" d=\"M52 %dH%d\"/>", y - 10, WIDTH - 8);
	end_row(d);
}

static void add_fold(struct drawing *d, const struct story_row *row)
{
	_buf_ struct buf text = { 0 };

	story_fold_text(&text, d->run, row);
	begin_row(d, row, "fold", 26);
	buf_printf(d->out, "<text class=\"label\" x=\"%d\" y=\"17\">\u22ee %s</text>",
		   (CLIENT_X + SERVER_X) / 2, text.data ? text.data : "");
	end_row(d);
}

/* --- prose --- */

/* A line of prose with its class. */
static void add_prose_line(struct drawing *d, int y, const char *class, const char *text)
{
	buf_printf(d->out, "<text class=\"%s\" x=\"60\" y=\"%d\">", class, y);
	xml_text(d->out, text);
	buf_str(d->out, "</text>");
}

static void prose_expects(struct buf *lines, const struct drawing *d, const struct story_row *row)
{
	for (uint32_t i = 0; i < row->nexpects; i++) {
		const struct tl_expect *x = &d->run->expects[row->first_expect + i];
		_buf_ struct buf text = { 0 };

		buf_str(&text, x->passed ? "\u2713 " : "\u2717 ");
		story_expect_text(&text, x, true);
		style_wrap(lines, text.data ? text.data : "", 2, PROSE_WRAP - 10);
	}
}

/* The class of a line by its first letter; an indented one goes on with the line before. */
static const char *prose_class(const char *line, const char *before)
{
	if (!strncmp(line, "\u2713", 3))
		return "good";
	if (!strncmp(line, "\u2717", 3))
		return "failed";
	return line[0] == ' ' ? before : "prose";
}

/* The lines of an observation, or of expectations alone. */
static void prose_of(struct buf *lines, const struct drawing *d, const struct story_row *row)
{
	const struct tl_event *v = &d->run->events[row->event];

	if (row->kind == STORY_OBSERVE && v->observation < d->run->nobservations) {
		const struct tl_observation *seen = &d->run->observations[v->observation];

		for (unsigned side = 0; side < 2; side++) {
			_buf_ struct buf text = { 0 };

			explain_observed(&text, seen, side, true);
			style_wrap(lines, text.data ? text.data : "", 0, PROSE_WRAP);
		}
	}
	prose_expects(lines, d, row);
}

/* The section of the RFC at the right edge, beside the title, which is broken before it. */
static void add_rfc(struct drawing *d, int y)
{
	_buf_ struct buf section = { 0 };
	char rfc[EXPLAIN_RFC_TEXT];

	story_field(&section, d->run->rfc, sizeof(d->run->rfc), true);
	if (!section.data || !*section.data)
		return;
	buf_printf(d->out, "<text class=\"rfc\" x=\"%d\" y=\"%d\">", WIDTH - 14, y);
	xml_text(d->out, explain_rfc_text(section.data, true, rfc));
	buf_str(d->out, "</text>");
}

/* The title of an observation, over as many lines as it needs. Empty where there is none. */
static int title_of(struct buf *lines, const struct drawing *d, const struct story_row *row)
{
	const struct tl_event *v = &d->run->events[row->event];
	_buf_ struct buf title = { 0 };

	if (row->kind != STORY_OBSERVE || v->observation >= d->run->nobservations)
		return 0;
	story_field(&title, d->run->observations[v->observation].title,
		    sizeof(d->run->observations[0].title), true);
	return wrap_lines(lines, title.len ? title.data : "both ends now", TITLE_WRAP);
}

static void add_prose(struct drawing *d, const struct story_row *row)
{
	const struct tl_event *v = &d->run->events[row->event];
	_buf_ struct buf lines = { 0 };
	_buf_ struct buf title = { 0 };
	const char *class = "prose";
	int n = title_of(&title, d, row), y = 26;
	char *rest, *line;

	prose_of(&lines, d, row);
	for (const char *p = lines.data; p && *p; p++)
		n += *p == '\n';
	begin_row(d, row, row->kind == STORY_OBSERVE ? "observe" : "expect", 18 + LINE * n);
	buf_printf(d->out,
		   "<rect class=\"box\" x=\"50\" y=\"6\" width=\"%d\" height=\"%d\" rx=\"6\"/>",
		   WIDTH - 56, 8 + LINE * n);
	add_time(d, row, y);
	if (row->kind == STORY_OBSERVE && v->observation == d->run->main_observation)
		add_rfc(d, y);
	for (rest = title.data; (line = next_line(&rest)); y += LINE)
		add_prose_line(d, y, "title", line);
	for (rest = lines.data; (line = next_line(&rest)); y += LINE) {
		class = prose_class(line, class);
		add_prose_line(d, y, class, line);
	}
	end_row(d);
}

static void add_row(struct drawing *d, const struct story_row *row)
{
	switch (row->kind) {
	case STORY_PACKET:
		add_packet(d, row);
		break;
	case STORY_CALL:
		add_call(d, row);
		break;
	case STORY_STATE:
		add_change(d, row);
		break;
	case STORY_FOLD:
		add_fold(d, row);
		break;
	case STORY_OBSERVE:
	case STORY_EXPECT:
		add_prose(d, row);
		break;
	default:
		add_step(d, row);
		break;
	}
}

/* The ends' names above their lifelines. */
static void add_ends(struct drawing *d)
{
	for (unsigned side = 0; side < 2; side++) {
		const struct tl_conn *conn = story_conn(d->run);
		const struct tl_call *actor = story_actor(d->run, side);
		char addr[TCP_ADDR_TEXT];

		bool same = actor &&
			    !strncmp(actor->comm, story_side_name(side), sizeof(actor->comm));

		buf_printf(d->out, "<text class=\"end\" x=\"%d\" y=\"%d\">%s", lifeline(side),
			   d->y + 18, same ? "" : story_side_name(side));
		if (actor) {
			buf_str(d->out, same ? "" : " ");
			XML_FIELD(d->out, actor->comm);
			buf_printf(d->out, "[%" PRId32 "]", actor->pid);
		}
		buf_printf(d->out, "</text><text class=\"addr\" x=\"%d\" y=\"%d\">%s</text>\n",
			   lifeline(side), d->y + 34,
			   conn ? tcp_addr_text(&conn->addr[side], addr)
				: tcp_addr_host_text(&d->run->host[side], addr));
	}
	d->y += 44;
}

static int draw(struct buf *out, const struct tl_run *run, const struct story *story, int y)
{
	struct drawing d = { .out = out, .run = run, .y = y };

	add_ends(&d);
	for (size_t i = 0; i < story->n; i++)
		add_row(&d, &story->rows[i]);
	return d.y + 8;
}

void svg_diagram(struct buf *out, const struct tl_run *run, const struct story *story)
{
	_buf_ struct buf body = { 0 };
	int height = draw(&body, run, story, 0);

	buf_printf(out,
		   "<svg class=\"diagram%s\" viewBox=\"0 0 %d %d\" role=\"group\" aria-label=\"",
		   height <= ONE_SHEET ? " one-sheet" : "", WIDTH, height);
	XML_FIELD(out, run->name);
	buf_str(out, "\">\n");
	buf_add(out, body.data, body.len);
	buf_str(out, "</svg>\n");
	out->failed |= body.failed;
}

int lab_svg(struct buf *out, const struct tl_run *run)
{
	_buf_ struct buf body = { 0 };
	struct story story;
	int height, r = story_tell(&story, run);

	if (r < 0)
		return r;
	height = draw(&body, run, &story, 36);
	story_free(&story);
	buf_printf(out,
		   "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"diagram\" width=\"%d\" "
		   "height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\">\n<title>",
		   WIDTH, height, WIDTH, height);
	XML_FIELD(out, run->name);
	buf_str(out, ": ");
	XML_FIELD(out, run->title);
	buf_str(out, "</title>\n<desc>");
	XML_FIELD(out, run->shows);
	buf_printf(out, "</desc>\n<style>%s</style>\n", page_diagram_css);
	buf_printf(out, "<rect class=\"paper\" width=\"%d\" height=\"%d\"/>\n", WIDTH, height);
	buf_str(out, "<text class=\"heading\" x=\"8\" y=\"24\">");
	XML_FIELD(out, run->name);
	if (run->title[0]) {
		buf_str(out, ": ");
		XML_FIELD(out, run->title);
	}
	buf_str(out, "</text>\n");
	buf_add(out, body.data, body.len);
	buf_str(out, "</svg>\n");
	return out->failed || body.failed ? -ENOMEM : 0;
}
