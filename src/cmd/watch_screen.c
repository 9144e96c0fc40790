/* SPDX-License-Identifier: MIT */
#include "cmd/watch_screen.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <ncurses.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "base/text.h"
#include "cmd/term.h"
#include "cmd/watch_draw.h"
#include "cmd/watch_table.h"
#include "tcp/state.h"

enum view {
	VIEW_PROCS,
	VIEW_SOCKETS,
	VIEW_SOCKET,
	VIEW_LAGS, /* from here on: beside the others */
	VIEW_HELP,
	VIEW_COUNT,
};

struct screen {
	SCREEN *terminal;
	struct table table;
	uint64_t after_ns;
	struct watch_taking taking;
	int64_t next_second;
	enum view view;
	enum view from;       /* which view the one beside it was entered from */
	int row[VIEW_COUNT];  /* what is chosen, or scrolled to, in each view */
	int top[VIEW_COUNT];  /* the first row that is shown */
	bool has_who;         /* one was there to be chosen */
	struct table_who who; /* the process that is chosen, or looked at */
	uint64_t socket;      /* the same of its sockets: id of an item; 0: none yet */
	char *lags;           /* the close lags as text; NULL: not read yet */
	uint64_t lost;
	bool changed;
};

const struct report_style *screen_style(const struct screen *s)
{
	return &s->table.style;
}

struct screen *screen_open(uint64_t after_ns, const struct watch_taking *taking, struct err *e)
{
	struct screen *s = calloc(1, sizeof(*s));

	if (s && term_is_known()) /* newterm() leaks where it is not */
		s->terminal = newterm(NULL, stdout, stdin);
	if (!s || !s->terminal) {
		free(s);
		err_set(e, -ENOTTY, "this terminal (TERM=%s) is not known; use --plain",
			getenv("TERM") ? getenv("TERM") : "");
		return NULL;
	}
	s->table.style = (struct report_style){ .utf8 = text_locale_is_utf8(), .columns = 80 };
	s->after_ns = after_ns;
	s->taking = *taking;
	s->next_second = clock_mono_ns();
	s->changed = true;
	cbreak();
	noecho();
	nonl();
	curs_set(0);
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	return s;
}

void screen_close(struct screen *s)
{
	if (!s)
		return;
	endwin();
	delscreen(s->terminal);
	table_free(&s->table);
	free(s->lags);
	free(s);
}

void screen_line(struct screen *s, const struct tw_line *line)
{
	s->changed = true;
	table_line(&s->table, line);
}

bool screen_shows_lags(const struct screen *s)
{
	return s->view == VIEW_LAGS;
}

void screen_lags(struct screen *s, char *text)
{
	free(s->lags);
	s->lags = text;
	s->changed = true;
}

static void draw_sparkline(const struct screen *s, const struct table_proc *p, int room)
{
	static const char *const blocks[] = { " ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
	static const char *const ascii[] = { " ", "_", ".", ".", "-", "-", "=", "=", "#" };
	uint32_t most = 1;

	for (int i = 0; i < TABLE_HISTORY; i++)
		if (p->history[i] > most)
			most = p->history[i];
	for (int i = room < TABLE_HISTORY ? TABLE_HISTORY - room : 0; i < TABLE_HISTORY; i++) {
		uint32_t v = p->history[(s->table.second + 1 + (uint64_t)i) % TABLE_HISTORY];
		uint32_t level = v ? 1 + (v * 7ULL) / most : 0;

		addstr(s->table.style.utf8 ? blocks[level] : ascii[level]);
	}
}

static const struct table_proc *looked_at(const struct screen *s)
{
	return table_proc(&s->table, &s->who);
}

static uint32_t unkept(const struct screen *s)
{
	const struct table_proc *p = looked_at(s);

	return p ? p->open - p->kept : 0;
}

/* Rows that the view has for what it lists. */
static int room(const struct screen *s)
{
	int rows = s->view == VIEW_PROCS     ? LINES - 3
		   : s->view == VIEW_SOCKETS ? LINES - 3 - (unkept(s) > 0)
					     : LINES - 2;

	return rows > 1 ? rows : 1;
}

/* The text of a view that has one. */
static void add_text(const struct screen *s, struct buf *b)
{
	static const char help[] =
		"  up, down, k, j   choose another, or scroll\n"
		"  PgUp, PgDn       a page up, a page down\n"
		"  Home, g, End, G  the first, the last\n"
		"  Enter            the sockets of a process, the stacks of a socket\n"
		"  l                close lags: from the peer's FIN to the process's own\n"
		"  q                back; from the processes: leave\n"
		"\n"
		"  OPEN   half-closed, or dead, for longer than --after, and still so\n"
		"  EVER   all that were, since the start\n"
		"  AGE    since it became so; >=: at least\n"
		"  <-     the peer closed first; ->: this end did; --: neither, or not known\n"
		"  told   a read has returned 0: the program knows; see unclosed-explain(1)\n";
	const struct table_item *it = s->view == VIEW_SOCKET ? table_item(&s->table, s->socket)
							     : NULL;
	struct tw_line line;

	if (it) {
		line = table_line_now(it, clock_mono_ns());
		watch_text_whole(b, &line, it->told, it->made, &s->taking, &s->table.style);
	} else if (s->view == VIEW_LAGS && s->lags) {
		buf_str(b, *s->lags ? s->lags
				    : "\n        nothing has been closed after its peer yet\n");
	} else if (s->view == VIEW_HELP) {
		buf_str(b, help);
	}
}

/* The last row that can be chosen, or scrolled to. */
static int last_row(const struct screen *s)
{
	const struct table_proc *p = looked_at(s);
	_buf_ struct buf text = { 0 };

	if (s->view == VIEW_PROCS)
		return (int)s->table.proc_count - 1;
	if (s->view == VIEW_SOCKETS)
		return p ? (int)p->kept - 1 : -1;
	add_text(s, &text);
	return text.data ? draw_text_rows(text.data) - room(s) : 0;
}

/* Chooses that row, or the nearest that there is, and what is in it. */
static void choose(struct screen *s, int64_t wanted)
{
	int last = last_row(s), most = room(s), *top = &s->top[s->view];
	int row = wanted > last ? last : (int)wanted;
	const struct table_item *it;

	s->row[s->view] = row = row < 0 ? 0 : row;
	if (s->view == VIEW_PROCS) {
		s->has_who = last >= 0;
		s->who = last >= 0 ? s->table.procs[row].who : s->who;
	} else if (s->view == VIEW_SOCKETS) {
		it = table_row(&s->table, &s->who, row);
		s->socket = it ? it->id : 0;
	}
	if (*top > last - most + 1)
		*top = last - most + 1;
	if (*top < 0)
		*top = 0;
	if (*top > row)
		*top = row;
	if (*top <= row - most)
		*top = row - most + 1;
}

/* Where it is that was chosen: rows move. The row itself where it is gone. */
static int chosen_row(struct screen *s)
{
	const struct table_proc *p;
	int row = -1;

	table_sort(&s->table);
	p = looked_at(s);
	if (s->view == VIEW_PROCS && s->has_who && p)
		row = (int)(p - s->table.procs);
	else if (s->view == VIEW_SOCKETS && s->socket)
		row = table_row_of(&s->table, &s->who, s->socket);
	return row < 0 ? s->row[s->view] : row;
}

#define PROC_COLUMNS 39 /* what the sparkline is right of */

static void draw_proc(const struct screen *s, const struct table_proc *p, int y, bool chosen)
{
	_buf_ struct buf comm = { 0 }, row = { 0 };

	text_escape(&comm, p->comm, strnlen(p->comm, TW_COMM), s->table.style.utf8);
	buf_printf(&row, "%7d %-15s %6u %6u  ", p->who.pid,
		   p->who.pid ? (comm.data ? comm.data : "") : "(no descriptor)", p->open, p->ever);
	draw_row(y, chosen ? A_REVERSE : A_NORMAL, &row);
	if (COLS > PROC_COLUMNS)
		draw_sparkline(s, p, COLS - PROC_COLUMNS);
}

/* Whoever looks should know that it works. */
static void draw_nothing(const struct screen *s)
{
	_buf_ struct buf row = { 0 };
	char text[32];

	buf_printf(&row, "        nothing stays half-closed for longer than %s",
		   num_duration_text((int64_t)s->after_ns, text, sizeof(text)));
	draw_row(2, A_DIM, &row);
}

static void draw_procs(const struct screen *s)
{
	const struct table *t = &s->table;
	_buf_ struct buf head = { 0 };
	int first = s->top[VIEW_PROCS];

	buf_printf(&head, "%7s %-15s %6s %6s  %s", "PID", "PROCESS", "OPEN", "EVER",
		   "OPEN, LAST MINUTE");
	draw_row(1, A_NORMAL, &head);
	if (!t->proc_count)
		draw_nothing(s);
	for (int i = first; i < (int)t->proc_count && i - first < room(s); i++)
		draw_proc(s, &t->procs[i], i - first + 2, i == s->row[VIEW_PROCS]);
}

/* What matters most comes first: a narrow terminal cuts the addresses. */
static void draw_item(const struct table_item *it, int y, bool chosen)
{
	static const char *const arrow[] = { "<-", "->", "--", "--" };
	char local[TCP_ADDR_TEXT], peer[TCP_ADDR_TEXT], age[32], text[32], fd[16] = "";
	const struct tw_line *l = it->line;
	_buf_ struct buf row = { 0 };

	snprintf(age, sizeof(age), "%s%.20s", l->at_least ? ">=" : "",
		 num_duration_text(clock_mono_ns() - it->since_ns, text, sizeof(text)));
	if (l->owner_count)
		snprintf(fd, sizeof(fd), "%d%s", l->owners[0].fd, l->owner_count > 1 ? "+" : "");
	buf_printf(&row, "%9s %-16s %5s %-10s %s %s %s", age, tcp_cause_name(l->cause), fd,
		   tcp_state_name(l->sample.state), tcp_addr_text(&it->local, local),
		   arrow[l->first], tcp_addr_text(&it->peer, peer));
	draw_row(y, chosen ? A_REVERSE : A_NORMAL, &row);
}

static void draw_sockets(const struct screen *s)
{
	int first = s->top[VIEW_SOCKETS], i;
	_buf_ struct buf head = { 0 }, more = { 0 };

	buf_printf(&head, "%9s %-16s %5s %-10s %s", "AGE", "CAUSE", "FD", "STATE", "CONNECTION");
	draw_row(1, A_NORMAL, &head);
	for (i = first; i - first < room(s); i++) {
		const struct table_item *it = table_row(&s->table, &s->who, i);

		if (!it)
			break;
		draw_item(it, i - first + 2, i == s->row[VIEW_SOCKETS]);
	}
	buf_printf(&more, "%9s %u more, counted only: too many to show", "", unkept(s));
	if (unkept(s))
		draw_row(i - first + 2, A_DIM, &more);
}

static void add_title(const struct screen *s, struct buf *b)
{
	const struct table *t = &s->table;
	const struct table_proc *p = s->view == VIEW_SOCKETS || s->view == VIEW_SOCKET
					     ? looked_at(s)
					     : NULL;

	buf_str(b, "unclosed watch: ");
	if (!p) {
		buf_printf(b, "%" PRIu64 " half-closed, %" PRIu64 " since the start", t->open,
			   t->ever);
	} else if (p->who.pid) {
		text_escape(b, p->comm, strnlen(p->comm, TW_COMM), t->style.utf8);
		buf_printf(b, "[%d] holds %u", p->who.pid, p->open);
	} else {
		buf_printf(b, "%u without a descriptor", p->open);
	}
}

void screen_lost(struct screen *s, uint64_t lost)
{
	s->changed |= lost != s->lost;
	s->lost = lost;
}

static void draw(struct screen *s)
{
	/* The way out comes first: a narrow terminal cuts the rest. */
	static const char *const keys[] = {
		[VIEW_PROCS] = "q: leave   ?: keys   enter: its sockets   up, down: choose   "
			       "l: close lags",
		[VIEW_SOCKETS] = "q: back   ?: keys   enter: its stacks   up, down: choose   "
				 "l: close lags",
		[VIEW_SOCKET] = "q: back   ?: keys   up, down: scroll   l: close lags",
		[VIEW_LAGS] = "q: back   ?: keys   up, down: scroll",
		[VIEW_HELP] = "q: back   up, down: scroll",
	};
	_buf_ struct buf title = { 0 }, text = { 0 }, foot = { 0 };

	if (s->view == VIEW_SOCKET && !table_item(&s->table, s->socket))
		s->view = VIEW_SOCKETS; /* it is over */
	choose(s, chosen_row(s));
	erase();
	add_title(s, &title);
	if (s->lost)
		buf_printf(&title, "; incomplete: %" PRIu64 " lost", s->lost);
	draw_row(0, A_BOLD, &title);
	if (s->view == VIEW_PROCS)
		draw_procs(s);
	else if (s->view == VIEW_SOCKETS)
		draw_sockets(s);
	add_text(s, &text);
	if (text.data)
		draw_text(text.data, s->row[s->view]);
	buf_str(&foot, keys[s->view]);
	draw_row(LINES - 1, A_DIM, &foot);
	refresh();
	s->changed = false;
}

static void show(struct screen *s, enum view view)
{
	s->view = view;
	clearok(stdscr, TRUE); /* nothing of the other view is worth keeping */
}

/* Goes into what is chosen. Several keys may have come since it was drawn. */
static void enter(struct screen *s)
{
	choose(s, chosen_row(s));
	if (s->view == VIEW_PROCS && s->has_who)
		s->socket = 0;
	else if (s->view != VIEW_SOCKETS || !s->socket)
		return;
	show(s, s->view + 1);
	s->row[s->view] = 0;
}

/* Goes to a view beside the others, and back to where it came from. */
static void go_beside(struct screen *s, enum view view)
{
	if (s->view == view)
		return;
	if (s->view < VIEW_LAGS)
		s->from = s->view;
	if (view == VIEW_LAGS)
		screen_lags(s, NULL); /* those of the last look are old */
	s->row[view] = 0;
	show(s, view);
}

/* Returns whether that key chooses, or scrolls, and does so. */
static bool move_by(struct screen *s, int key)
{
	int64_t by;

	switch (key) {
	case KEY_UP:
	case 'k':
		by = -1;
		break;
	case KEY_DOWN:
	case 'j':
		by = 1;
		break;
	case KEY_PPAGE:
		by = -room(s);
		break;
	case KEY_NPAGE:
		by = room(s);
		break;
	case KEY_HOME:
	case 'g':
		by = -INT_MAX;
		break;
	case KEY_END:
	case 'G':
		by = INT_MAX;
		break;
	default:
		return false;
	}
	choose(s, chosen_row(s) + by);
	return true;
}

/* Returns whether the person wants to leave. */
static bool heed(struct screen *s, int key)
{
	s->changed = true;
	if (move_by(s, key))
		return false;
	switch (key) {
	case '\r':
	case '\n':
	case KEY_ENTER:
		enter(s);
		break;
	case 'q':
		if (s->view == VIEW_PROCS)
			return true;
		show(s, s->view < VIEW_LAGS ? s->view - 1 : s->from);
		break;
	case 'l':
		go_beside(s, VIEW_LAGS);
		break;
	case '?':
		go_beside(s, VIEW_HELP);
		break;
	default:
		break;
	}
	return false;
}

bool screen_turn(struct screen *s)
{
	int64_t now = clock_mono_ns();
	int key;

	while ((key = getch()) != ERR)
		if (heed(s, key))
			return true;
	for (; now >= s->next_second; s->next_second += CLOCK_NS_PER_S) {
		table_second(&s->table);
		s->changed = true;
	}
	if (s->changed)
		draw(s);
	return false;
}
