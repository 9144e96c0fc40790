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
#include <wchar.h>

#include "base/clock.h"
#include "base/num.h"
#include "base/text.h"
#include "cmd/term.h"
#include "cmd/watch_table.h"
#include "tcp/state.h"

enum view {
	VIEW_PROCS,
	VIEW_SOCKETS,
	VIEW_SOCKET,
	VIEW_LAGS,
	VIEW_COUNT,
};

struct screen {
	SCREEN *terminal;
	struct table table;
	uint64_t after_ns;
	int64_t next_second;
	enum view view;
	int row[VIEW_COUNT];  /* what is chosen, or scrolled to, in each view */
	struct table_who who; /* whose sockets are looked at */
	uint64_t socket;      /* that is looked at: id of an item */
	char *lags;           /* the close lags as text; NULL: not read yet */
	uint64_t lost;
	bool changed;
};

const struct report_style *screen_style(const struct screen *s)
{
	return &s->table.style;
}

struct screen *screen_open(uint64_t after_ns, struct err *e)
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

/* How much of a text of `bytes` fits into `room` columns: its bytes; its columns go to `columns`.
 * Names are strangers' (text_escape() has left them letters only), and some letters take two
 * columns or none. */
static int fitting(const char *text, int bytes, int room, int *columns)
{
	mbstate_t state = { 0 };
	int at = 0;

	*columns = 0;
	while (at < bytes) {
		wchar_t letter = L' ';
		size_t n = mbrtowc(&letter, text + at, (size_t)(bytes - at), &state);
		int width;

		if (n == 0 || n > (size_t)(bytes - at)) { /* no letter: drawn as a byte */
			memset(&state, 0, sizeof(state));
			n = 1;
			letter = L' ';
		}
		width = wcwidth(letter) < 0 ? 1 : wcwidth(letter);
		if (*columns + width > room)
			break;
		*columns += width;
		at += (int)n;
	}
	return at;
}

/* One row, cut where the terminal ends: ncurses would go on in the next. */
static void put_row(int y, attr_t look, const struct buf *b)
{
	int columns;

	attrset(look);
	mvaddnstr(y, 0, b->data ? b->data : "", fitting(b->data, (int)b->len, COLS, &columns));
	attrset(A_NORMAL);
}

static void choose(struct screen *s, int count)
{
	int *row = &s->row[s->view];

	if (*row >= count)
		*row = count - 1;
	if (*row < 0)
		*row = 0;
}

/* The first of the rows to show, so that the chosen one is among the `room` that fit. */
static int first_row(const struct screen *s, int room)
{
	int row = s->row[s->view];

	return row >= room ? row - room + 1 : 0;
}

#define PROC_COLUMNS 39 /* what the sparkline is right of */

static void draw_proc(const struct screen *s, const struct table_proc *p, int y, bool chosen)
{
	_buf_ struct buf comm = { 0 }, row = { 0 };

	text_escape(&comm, p->comm, strnlen(p->comm, TW_COMM), s->table.style.utf8);
	buf_printf(&row, "%7d %-15s %6u %6u  ", p->who.pid,
		   p->who.pid ? (comm.data ? comm.data : "") : "(no descriptor)", p->open, p->ever);
	put_row(y, chosen ? A_REVERSE : A_NORMAL, &row);
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
	put_row(2, A_DIM, &row);
}

static void draw_procs(struct screen *s)
{
	struct table *t = &s->table;
	_buf_ struct buf head = { 0 };
	int first;

	table_sort(t);
	choose(s, (int)t->proc_count);
	buf_printf(&head, "%7s %-15s %6s %6s  %s", "PID", "PROCESS", "OPEN", "EVER",
		   "OPEN, LAST MINUTE");
	put_row(1, A_NORMAL, &head);
	if (!t->proc_count)
		draw_nothing(s);
	first = first_row(s, LINES - 3);
	for (int i = first; i < (int)t->proc_count && i - first < LINES - 3; i++)
		draw_proc(s, &t->procs[i], i - first + 2, i == s->row[VIEW_PROCS]);
}

/* What matters most comes first: a narrow terminal cuts the addresses. */
static void draw_item(const struct table_item *it, int y, bool chosen)
{
	static const char *const arrow[] = { "<-", "->", "--", "--" };
	char local[TCP_ADDR_TEXT], peer[TCP_ADDR_TEXT], age[32], text[32], fd[16] = "";
	_buf_ struct buf row = { 0 };

	snprintf(age, sizeof(age), "%s%.20s", it->at_least ? ">=" : "",
		 num_duration_text(clock_mono_ns() - it->since_ns, text, sizeof(text)));
	if (it->owner_count)
		snprintf(fd, sizeof(fd), "%d%s", it->fd, it->owner_count > 1 ? "+" : "");
	buf_printf(&row, "%9s %-16s %5s %-10s %s %s %s", age, tcp_cause_name(it->cause), fd,
		   tcp_state_name(it->state), tcp_addr_text(&it->local, local), arrow[it->first],
		   tcp_addr_text(&it->peer, peer));
	put_row(y, chosen ? A_REVERSE : A_NORMAL, &row);
}

static int socket_count(const struct screen *s)
{
	const struct table_proc *p = table_proc(&s->table, &s->who);

	return p ? (int)p->kept : 0;
}

static void draw_sockets(struct screen *s)
{
	const struct table_proc *p = table_proc(&s->table, &s->who);
	uint32_t unkept = p ? p->open - p->kept : 0;
	int first, room = LINES - 3 - (unkept > 0), count = socket_count(s), i;
	_buf_ struct buf head = { 0 }, more = { 0 };

	choose(s, count);
	buf_printf(&head, "%9s %-16s %5s %-10s %s", "AGE", "CAUSE", "FD", "STATE", "CONNECTION");
	put_row(1, A_NORMAL, &head);
	first = first_row(s, room);
	for (i = first; i < count && i - first < room; i++) {
		const struct table_item *it = table_row(&s->table, &s->who, i);

		if (it)
			draw_item(it, i - first + 2, i == s->row[VIEW_SOCKETS]);
	}
	buf_printf(&more, "%9s %u more, counted only: too many to show", "", unkept);
	if (unkept)
		put_row(i - first + 2, A_DIM, &more);
}

#define INDENT 4 /* of what goes on in a further row */

/* One line of a text, broken between words; a word that no row holds is cut. Returns the row below.
 */
static int draw_words(const char *line, int y)
{
	int x = 0, end = (int)strcspn(line, "\n");

	for (int at = 0; at < end && y < LINES - 1;) {
		int word = at, width, n;

		while (word < end && line[word] == ' ')
			word++;
		while (word < end && line[word] != ' ')
			word++;
		fitting(line + at, word - at, INT_MAX, &width);
		if (x > INDENT && x + width > COLS) {
			y++;
			x = INDENT;
			at += (int)strspn(line + at, " ");
			continue;
		}
		n = fitting(line + at, word - at, COLS - x, &width);
		mvaddnstr(y, x, line + at, n);
		x += width;
		at = word;
	}
	return y + 1;
}

/* A text that is scrolled through. */
static void draw_text(struct screen *s, const char *text)
{
	int lines = 0, skip, y = 1;

	for (const char *p = text; p && *p; p += strcspn(p, "\n"), p += *p == '\n')
		lines++;
	choose(s, lines);
	skip = s->row[s->view];
	for (; text && *text && y < LINES - 1; text += strcspn(text, "\n"), text += *text == '\n')
		if (skip-- <= 0)
			y = draw_words(text, y);
}

static void draw_socket(struct screen *s)
{
	const struct table_item *it = table_item(&s->table, s->socket);

	draw_text(s, it ? it->text : NULL);
}

static void draw_lags(struct screen *s)
{
	_buf_ struct buf row = { 0 };

	draw_text(s, s->lags);
	if (!s->lags || *s->lags)
		return;
	buf_str(&row, "        nothing has been closed after its peer yet");
	put_row(2, A_DIM, &row);
}

static void add_title(const struct screen *s, struct buf *b)
{
	const struct table *t = &s->table;
	const struct table_proc *p = s->view == VIEW_PROCS || s->view == VIEW_LAGS
					     ? NULL
					     : table_proc(t, &s->who);

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
		[VIEW_PROCS] = "q: leave   enter: its sockets   up, down: choose   l: close lags",
		[VIEW_SOCKETS] = "q: back   enter: its stacks   up, down: choose",
		[VIEW_SOCKET] = "q: back   up, down: scroll",
		[VIEW_LAGS] = "q: back   up, down: scroll",
	};
	_buf_ struct buf title = { 0 }, foot = { 0 };

	if (s->view == VIEW_SOCKET && !table_item(&s->table, s->socket))
		s->view = VIEW_SOCKETS; /* it is over */
	erase();
	add_title(s, &title);
	if (s->lost)
		buf_printf(&title, "; incomplete: %" PRIu64 " lost", s->lost);
	put_row(0, A_BOLD, &title);
	switch (s->view) {
	case VIEW_SOCKETS:
		draw_sockets(s);
		break;
	case VIEW_SOCKET:
		draw_socket(s);
		break;
	case VIEW_LAGS:
		draw_lags(s);
		break;
	default:
		draw_procs(s);
	}
	buf_str(&foot, keys[s->view]);
	put_row(LINES - 1, A_DIM, &foot);
	refresh();
	s->changed = false;
}

/* Goes into what is chosen. Several keys may have come since it was drawn. */
static void enter(struct screen *s)
{
	const struct table_item *it;

	if (s->view == VIEW_PROCS) {
		choose(s, (int)s->table.proc_count);
		if (!s->table.proc_count)
			return;
		s->who = s->table.procs[s->row[VIEW_PROCS]].who;
	} else if (s->view == VIEW_SOCKETS) {
		choose(s, socket_count(s));
		it = table_row(&s->table, &s->who, s->row[VIEW_SOCKETS]);
		if (!it)
			return;
		s->socket = it->id;
	} else {
		return;
	}
	s->row[++s->view] = 0;
	clearok(stdscr, TRUE); /* nothing of the other view is worth keeping */
}

static void leave(struct screen *s)
{
	s->view = s->view == VIEW_LAGS ? VIEW_PROCS : s->view - 1;
	clearok(stdscr, TRUE);
}

static bool heed(struct screen *s, int key)
{
	s->changed = true;
	switch (key) {
	case KEY_UP:
	case 'k':
		s->row[s->view]--;
		break;
	case KEY_DOWN:
	case 'j':
		s->row[s->view]++;
		break;
	case '\r':
	case '\n':
	case KEY_ENTER:
		enter(s);
		break;
	case 'q':
		if (s->view == VIEW_PROCS)
			return true;
		leave(s);
		break;
	case 'l':
		if (s->view != VIEW_PROCS)
			break;
		s->view = VIEW_LAGS;
		s->row[VIEW_LAGS] = 0;
		screen_lags(s, NULL); /* those of the last look are old */
		clearok(stdscr, TRUE);
		break;
	default:
		break;
	}
	if (s->row[s->view] < 0)
		s->row[s->view] = 0;
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
