/* SPDX-License-Identifier: MIT */
#include "cmd/watch_screen.h"

#include <ncurses.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/vec.h"
#include "cmd/term.h"
#include "report/watch.h"

#define HISTORY 60 /* seconds of the sparkline */
/* Sockets whose text is kept; processes are counted beyond that. */
#define MOST_ITEMS 4096

struct proc {
	int32_t pid;
	char comm[TW_COMM];
	uint32_t open, ever;
	uint32_t history[HISTORY]; /* a ring; the newest is at screen.second % HISTORY */
};

/* One open end, as the watch's own text. */
struct item {
	uint64_t netns;
	struct tcp_addr local, peer;
	int32_t pid;
	char *text;
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
	uint32_t socket;          /* index into items */
	struct report_style style;
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

static void add_item(struct screen *s, const struct tw_line *line)
{
	if (s->item_count == MOST_ITEMS ||
	    vec_reserve(&s->items, &s->item_cap, s->item_count + 1, sizeof(*s->items)))
		return;
	s->items[s->item_count++] = (struct item){ line->sample.netns, line->sample.local,
						   line->sample.peer, line->owners[0].pid,
						   text_of(s, line) };
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
		it->text = text_of(s, line);
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

static void choose(struct screen *s, int count)
{
	int *row = &s->row[s->view];

	if (*row >= count)
		*row = count - 1;
	if (*row < 0)
		*row = 0;
}

static void draw_procs(struct screen *s)
{
	int first;

	if (s->proc_count)
		qsort(s->procs, s->proc_count, sizeof(*s->procs), by_open);
	choose(s, (int)s->proc_count);
	mvprintw(1, 0, "%8s %-16s %7s %7s  %s", "PID", "PROCESS", "OPEN", "EVER",
		 "OPEN, LAST MINUTE");
	first = s->row[VIEW_PROCS] > LINES - 4 ? s->row[VIEW_PROCS] - (LINES - 4) : 0;
	for (int i = first; i < (int)s->proc_count && i - first < LINES - 3; i++) {
		const struct proc *p = &s->procs[i];
		_buf_ struct buf comm = { 0 };

		text_escape(&comm, p->comm, strnlen(p->comm, TW_COMM), s->style.utf8);
		attrset(i == s->row[VIEW_PROCS] ? A_REVERSE : A_NORMAL);
		mvprintw(i - first + 2, 0, "%8d %-16s %7u %7u  ", p->pid,
			 p->pid ? (comm.data ? comm.data : "") : "(no descriptor)", p->open,
			 p->ever);
		attrset(A_NORMAL);
		draw_sparkline(s, p, COLS - 43);
	}
}

static void draw_sockets(struct screen *s)
{
	int count = 0, at = 0, first;

	for (uint32_t i = 0; i < s->item_count; i++)
		count += s->items[i].pid == s->pid;
	choose(s, count);
	first = s->row[VIEW_SOCKETS] > LINES - 3 ? s->row[VIEW_SOCKETS] - (LINES - 3) : 0;
	for (uint32_t i = 0; i < s->item_count; i++) {
		const char *text = s->items[i].text ? s->items[i].text : "";

		if (s->items[i].pid != s->pid)
			continue;
		if (at == s->row[VIEW_SOCKETS])
			s->socket = i;
		if (at >= first && at - first < LINES - 2) {
			attrset(at == s->row[VIEW_SOCKETS] ? A_REVERSE : A_NORMAL);
			int bytes = (int)strcspn(text, "\n");

			mvaddnstr(at - first + 1, 0, text, bytes < COLS ? bytes : COLS);
			attrset(A_NORMAL);
		}
		at++;
	}
}

static void draw_socket(struct screen *s)
{
	const char *text = s->socket < s->item_count ? s->items[s->socket].text : NULL;
	int skip = s->row[VIEW_SOCKET], y = 1;

	for (; text && *text && y < LINES - 1; text += strcspn(text, "\n"), text += *text == '\n') {
		if (skip-- > 0)
			continue;
		move(y, 0);
		addnstr(text, (int)strcspn(text, "\n"));
		y = getcury(stdscr) + 1; /* a long line goes on below */
	}
}

static void draw(struct screen *s)
{
	static const char *const keys[] = {
		[VIEW_PROCS] = "up, down: choose   enter: its sockets   q: leave",
		[VIEW_SOCKETS] = "up, down: choose   enter: its stacks   q: back",
		[VIEW_SOCKET] = "up, down: scroll   q: back",
	};
	uint64_t open = 0, ever = 0;

	for (uint32_t i = 0; i < s->proc_count; i++) {
		open += s->procs[i].open;
		ever += s->procs[i].ever;
	}
	erase();
	attrset(A_BOLD);
	mvprintw(0, 0, "unclosed watch: %llu half-closed, %llu since the start",
		 (unsigned long long)open, (unsigned long long)ever);
	attrset(A_NORMAL);
	if (s->view == VIEW_PROCS)
		draw_procs(s);
	else if (s->view == VIEW_SOCKETS)
		draw_sockets(s);
	else
		draw_socket(s);
	attrset(A_DIM);
	mvaddstr(LINES - 1, 0, keys[s->view]);
	attrset(A_NORMAL);
	refresh();
	s->changed = false;
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
		if (s->view == VIEW_PROCS && s->row[VIEW_PROCS] < (int)s->proc_count)
			s->pid = s->procs[s->row[VIEW_PROCS]].pid;
		if (s->view < VIEW_SOCKET)
			s->row[++s->view] = 0;
		clearok(stdscr, TRUE); /* nothing of the other view is worth keeping */
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
