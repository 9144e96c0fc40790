/* SPDX-License-Identifier: MIT */
#include "cmd/watch_screen.h"

#include <ncurses.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "base/text.h"
#include "base/vec.h"
#include "cmd/term.h"
#include "report/watch.h"
#include "tcp/state.h"

#define HISTORY 60 /* seconds of the sparkline */
/* Sockets whose text is kept; processes are counted beyond that. */
#define MOST_ITEMS 4096

struct proc {
	int32_t pid;
	char comm[TW_COMM];
	uint32_t open, ever;
	uint32_t history[HISTORY]; /* a ring; the newest is at screen.second % HISTORY */
};

/* One open end. */
struct item {
	uint64_t netns;
	struct tcp_addr local, peer;
	int32_t pid, fd; /* of its first owner */
	uint32_t owner_count;
	int64_t since_ns; /* CLOCK_MONOTONIC */
	bool at_least;
	uint8_t state;
	enum tcp_cause cause;
	enum tw_first first;
	char *text; /* as the watch prints it: its line and its stacks */
};

enum view {
	VIEW_PROCS,
	VIEW_SOCKETS,
	VIEW_SOCKET,
};

struct screen {
	SCREEN *terminal;
	struct proc *procs;
	struct item *items;
	uint32_t proc_count, proc_cap, item_count, item_cap;
	uint64_t second;
	int64_t next_second;
	enum view view;
	int row[VIEW_SOCKET + 1]; /* what is chosen, or scrolled to, in each view */
	int32_t pid;              /* whose sockets are looked at */
	uint32_t socket;          /* that is looked at: index into items */
	struct report_style style;
	uint64_t lost;
	bool changed;
};

struct screen *screen_open(struct err *e)
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
	s->style = (struct report_style){ .utf8 = text_locale_is_utf8(), .columns = 80 };
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
	for (uint32_t i = 0; i < s->item_count; i++)
		free(s->items[i].text);
	free(s->items);
	free(s->procs);
	free(s);
}

static struct proc *proc_of(struct screen *s, const struct tw_line *line)
{
	const struct tw_owner *o = &line->owners[0];

	for (uint32_t i = 0; i < s->proc_count; i++)
		if (s->procs[i].pid == o->pid)
			return &s->procs[i];
	if (vec_reserve(&s->procs, &s->proc_cap, s->proc_count + 1, sizeof(*s->procs)))
		return NULL;
	s->procs[s->proc_count] = (struct proc){ .pid = o->pid };
	memcpy(s->procs[s->proc_count].comm, o->comm, TW_COMM);
	return &s->procs[s->proc_count++];
}

static struct item *item_of(struct screen *s, const struct tw_line *line)
{
	for (uint32_t i = 0; i < s->item_count; i++) {
		struct item *it = &s->items[i];

		if (it->netns == line->sample.netns &&
		    tcp_addr_equal(&it->local, &line->sample.local) &&
		    tcp_addr_equal(&it->peer, &line->sample.peer))
			return it;
	}
	return NULL;
}

static char *text_of(const struct screen *s, const struct tw_line *line)
{
	struct buf b = { 0 };

	watch_text(&b, line, &s->style);
	return b.data;
}

static struct item make_item(const struct screen *s, const struct tw_line *line)
{
	return (struct item){
		.netns = line->sample.netns,
		.local = line->sample.local,
		.peer = line->sample.peer,
		.pid = line->owners[0].pid,
		.fd = line->owners[0].fd,
		.owner_count = line->owner_count,
		.since_ns = clock_mono_ns() - (int64_t)line->age_ns,
		.at_least = line->at_least,
		.state = line->sample.state,
		.cause = line->cause,
		.first = line->first,
		.text = text_of(s, line),
	};
}

static void add_item(struct screen *s, const struct tw_line *line)
{
	if (s->item_count == MOST_ITEMS ||
	    vec_reserve(&s->items, &s->item_cap, s->item_count + 1, sizeof(*s->items)))
		return;
	s->items[s->item_count++] = make_item(s, line);
}

/* The last one takes its place; a view of either goes back. */
static void remove_item(struct screen *s, struct item *it)
{
	uint32_t at = (uint32_t)(it - s->items);

	if (s->view == VIEW_SOCKET && (s->socket == at || s->socket == s->item_count - 1))
		s->view = VIEW_SOCKETS;
	free(it->text);
	*it = s->items[--s->item_count];
}

void screen_line(struct screen *s, const struct tw_line *line)
{
	struct proc *p = proc_of(s, line);
	struct item *it = item_of(s, line);

	s->changed = true;
	if (line->what == TW_HALF_CLOSED) {
		if (p) {
			p->open++;
			p->ever++;
		}
		add_item(s, line);
	} else if (line->what == TW_OVER) {
		if (p && p->open)
			p->open--;
		if (it)
			remove_item(s, it);
	} else if (it && line->what != TW_CLOSED) {
		free(it->text);
		*it = make_item(s, line);
	}
}

static int by_open(const void *pa, const void *pb)
{
	const struct proc *a = pa, *b = pb;

	if (a->open != b->open)
		return a->open < b->open ? 1 : -1;
	return a->pid < b->pid ? -1 : a->pid > b->pid;
}

static void draw_sparkline(const struct screen *s, const struct proc *p, int room)
{
	static const char *const blocks[] = { " ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
	static const char *const ascii[] = { " ", "_", ".", ".", "-", "-", "=", "=", "#" };
	uint32_t most = 1;

	for (int i = 0; i < HISTORY; i++)
		if (p->history[i] > most)
			most = p->history[i];
	for (int i = room < HISTORY ? HISTORY - room : 0; i < HISTORY; i++) {
		uint32_t v = p->history[(s->second + 1 + (uint64_t)i) % HISTORY];
		uint32_t level = v ? 1 + (v * 7ULL) / most : 0;

		addstr(s->style.utf8 ? blocks[level] : ascii[level]);
	}
}

/* One row, cut where the terminal ends: ncurses would go on in the next. What the text takes in
 * columns it takes at least in bytes. */
static void put_row(int y, attr_t look, const struct buf *b)
{
	size_t n = b->len;

	if (n > (size_t)COLS)
		for (n = (size_t)COLS; n && (b->data[n] & 0xc0) == 0x80;)
			n--;
	attrset(look);
	mvaddnstr(y, 0, b->data ? b->data : "", (int)n);
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

static void draw_proc(const struct screen *s, const struct proc *p, int y, bool chosen)
{
	_buf_ struct buf comm = { 0 }, row = { 0 };

	text_escape(&comm, p->comm, strnlen(p->comm, TW_COMM), s->style.utf8);
	buf_printf(&row, "%7d %-15s %6u %6u  ", p->pid,
		   p->pid ? (comm.data ? comm.data : "") : "(no descriptor)", p->open, p->ever);
	put_row(y, chosen ? A_REVERSE : A_NORMAL, &row);
	if (COLS > PROC_COLUMNS)
		draw_sparkline(s, p, COLS - PROC_COLUMNS);
}

static void draw_procs(struct screen *s)
{
	_buf_ struct buf head = { 0 };
	int first;

	if (s->proc_count)
		qsort(s->procs, s->proc_count, sizeof(*s->procs), by_open);
	choose(s, (int)s->proc_count);
	buf_printf(&head, "%7s %-15s %6s %6s  %s", "PID", "PROCESS", "OPEN", "EVER",
		   "OPEN, LAST MINUTE");
	put_row(1, A_NORMAL, &head);
	first = first_row(s, LINES - 3);
	for (int i = first; i < (int)s->proc_count && i - first < LINES - 3; i++)
		draw_proc(s, &s->procs[i], i - first + 2, i == s->row[VIEW_PROCS]);
}

/* What matters most comes first: a narrow terminal cuts the addresses. */
static void draw_item(const struct item *it, int y, bool chosen)
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
	int count = 0;

	for (uint32_t i = 0; i < s->item_count; i++)
		count += s->items[i].pid == s->pid;
	return count;
}

static void draw_sockets(struct screen *s)
{
	int at = 0, first, room = LINES - 3;
	_buf_ struct buf head = { 0 };

	choose(s, socket_count(s));
	buf_printf(&head, "%9s %-16s %5s %-10s %s", "AGE", "CAUSE", "FD", "STATE", "CONNECTION");
	put_row(1, A_NORMAL, &head);
	first = first_row(s, room);
	for (uint32_t i = 0; i < s->item_count; i++) {
		if (s->items[i].pid != s->pid)
			continue;
		if (at >= first && at - first < room)
			draw_item(&s->items[i], at - first + 2, at == s->row[VIEW_SOCKETS]);
		at++;
	}
}

#define INDENT 4 /* of what goes on in a further row */

/* One line of a text, broken between words; a word that no row holds is cut. Returns the row below.
 */
static int draw_words(const char *line, int y)
{
	int x = 0, end = (int)strcspn(line, "\n");

	for (int at = 0; at < end && y < LINES - 1;) {
		int word = at;

		while (word < end && line[word] == ' ')
			word++;
		while (word < end && line[word] != ' ')
			word++;
		if (x > INDENT && x + word - at > COLS) {
			y++;
			x = INDENT;
			at += (int)strspn(line + at, " ");
			continue;
		}
		if (y < LINES - 1)
			mvaddnstr(y, x, line + at, word - at < COLS - x ? word - at : COLS - x);
		x += word - at;
		at = word;
	}
	return y + 1;
}

static void draw_socket(struct screen *s)
{
	const char *text = s->socket < s->item_count ? s->items[s->socket].text : NULL;
	int lines = 0, skip, y = 1;

	for (const char *p = text; p && *p; p += strcspn(p, "\n"), p += *p == '\n')
		lines++;
	choose(s, lines);
	skip = s->row[VIEW_SOCKET];
	for (; text && *text && y < LINES - 1; text += strcspn(text, "\n"), text += *text == '\n')
		if (skip-- <= 0)
			y = draw_words(text, y);
}

static void add_title(const struct screen *s, struct buf *b)
{
	uint64_t open = 0, ever = 0;

	buf_str(b, "unclosed watch: ");
	for (uint32_t i = 0; i < s->proc_count; i++) {
		const struct proc *p = &s->procs[i];

		open += p->open;
		ever += p->ever;
		if (s->view != VIEW_PROCS && p->pid && p->pid == s->pid) {
			text_escape(b, p->comm, strnlen(p->comm, TW_COMM), s->style.utf8);
			buf_printf(b, "[%d] holds %u", p->pid, p->open);
			return;
		}
	}
	buf_printf(b, "%llu half-closed, %llu since the start", (unsigned long long)open,
		   (unsigned long long)ever);
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
		[VIEW_PROCS] = "q: leave   enter: its sockets   up, down: choose",
		[VIEW_SOCKETS] = "q: back   enter: its stacks   up, down: choose",
		[VIEW_SOCKET] = "q: back   up, down: scroll",
	};
	_buf_ struct buf title = { 0 }, foot = { 0 };

	erase();
	add_title(s, &title);
	if (s->lost)
		buf_printf(&title, "; incomplete: %llu lost", (unsigned long long)s->lost);
	put_row(0, A_BOLD, &title);
	if (s->view == VIEW_PROCS)
		draw_procs(s);
	else if (s->view == VIEW_SOCKETS)
		draw_sockets(s);
	else
		draw_socket(s);
	buf_str(&foot, keys[s->view]);
	put_row(LINES - 1, A_DIM, &foot);
	refresh();
	s->changed = false;
}

/* The index of the process's socket in this row; item_count: there is none. */
static uint32_t socket_in_row(const struct screen *s, int row)
{
	uint32_t i = 0;

	while (i < s->item_count && (s->items[i].pid != s->pid || row-- > 0))
		i++;
	return i;
}

/* Goes into what is chosen. Several keys may have come since it was drawn. */
static void enter(struct screen *s)
{
	if (s->view == VIEW_PROCS) {
		choose(s, (int)s->proc_count);
		if (!s->proc_count)
			return;
		s->pid = s->procs[s->row[VIEW_PROCS]].pid;
	} else if (s->view == VIEW_SOCKETS) {
		choose(s, socket_count(s));
		s->socket = socket_in_row(s, s->row[VIEW_SOCKETS]);
		if (s->socket == s->item_count)
			return;
	} else {
		return;
	}
	s->row[++s->view] = 0;
	clearok(stdscr, TRUE); /* nothing of the other view is worth keeping */
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
		s->view--;
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
	if (now >= s->next_second) {
		s->second++;
		s->next_second = now + CLOCK_NS_PER_S;
		for (uint32_t i = 0; i < s->proc_count; i++)
			s->procs[i].history[s->second % HISTORY] = s->procs[i].open;
		s->changed = true;
	}
	if (s->changed)
		draw(s);
	return false;
}
