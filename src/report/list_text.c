/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/text.h"
#include "report/list.h"

/* Of the listeners that may have a connection. */
#define MOST_NAMED 3

enum {
	CELL_COUNT,
	CELL_STATE,
	CELL_CAUSE,
	CELL_SINCE,
	CELL_WHO,
	CELL_PORTS,
	CELLS
};

static const char *const headings[CELLS] = { "SOCKETS", "STATE",   "CAUSE",
					     "OLDEST",  "HELD BY", "PORTS" };

/* Owners of listeners that share a port, of which nobody can say whose it is. */
static void add_one_of(struct buf *out, const struct census *c, const struct summary_group *g,
		       bool utf8)
{
	const struct census_socket *s = &c->sockets[g->sample];
	uint32_t named = 0;

	buf_printf(out, "one of %" PRIu32 " listeners", s->listeners);
	if (g->local.n > 1)
		return;
	CENSUS_FOR_LISTENERS(i, c, s)
	{
		const struct census_held *h = &c->listeners[i].held;
		const struct census_proc *p;

		if (!h->n)
			continue;
		if (named++ == MOST_NAMED) {
			buf_str(out, " ...");
			return;
		}
		p = &c->procs[c->holders[h->first].proc];
		buf_str(out, named == 1 ? ": " : ", ");
		text_escape(out, p->comm, strlen(p->comm), utf8);
		buf_printf(out, "[%" PRIu32 "]", p->pid);
	}
}

static void add_process(struct buf *out, const struct census *c, const struct summary_group *g,
			bool utf8)
{
	const struct census_proc *p;

	if (g->proc == CENSUS_NONE && c->sockets[g->sample].listeners > 1) {
		add_one_of(out, c, g, utf8);
		return;
	}
	if (g->proc == CENSUS_NONE) {
		buf_str(out, g->cause == TCP_CAUSE_ORPHAN || g->cause == TCP_CAUSE_TIME_WAIT
				     ? "the kernel"
				     : "nobody seen");
		return;
	}
	p = &c->procs[g->proc];
	text_escape(out, p->comm, strlen(p->comm), utf8);
	buf_printf(out, "[%" PRIu32 "]", p->pid);
	if (g->processes > 1)
		buf_printf(out, " and %" PRIu32 " more", g->processes - 1);
}

static void add_who(struct buf *out, const struct census *c, const struct summary_group *g,
		    bool utf8)
{
	const char *container = g->proc == CENSUS_NONE ? "" : c->procs[g->proc].container;

	add_process(out, c, g, utf8);
	if (container[0]) {
		buf_str(out, " in ");
		text_escape(out, container, strnlen(container, 12), utf8);
	} else if (g->netns != CENSUS_NONE && g->netns != 0) { /* 0: the caller's own */
		buf_str(out, " netns ");
		if (c->netns[g->netns].name[0])
			text_escape(out, c->netns[g->netns].name, strlen(c->netns[g->netns].name),
				    utf8);
		else
			buf_printf(out, "%" PRIu64, c->netns[g->netns].ino);
	}
}

/* The ports of the end that has fewer: a service's, not those that the other end got by chance.
 * Where both have as many, those that were connected to. */
static void add_ports(struct buf *out, const struct census *c, const struct summary_group *g,
		      bool utf8)
{
	const struct census_socket *s = &c->sockets[g->sample];
	bool peer = g->peer.n < g->local.n ||
		    (g->peer.n == g->local.n && census_is_outgoing(c, &s->s, s->netns));
	const struct summary_ports *p = peer ? &g->peer : &g->local;
	uint32_t n = p->n < SUMMARY_PORTS ? p->n : SUMMARY_PORTS;

	if (p->n == 1 && p->port[0] == 0)
		return;
	buf_str(out, peer ? (utf8 ? "→ " : "to ") : "");
	for (uint32_t i = 0; i < n; i++)
		buf_printf(out, "%s:%u", i ? " " : "", p->port[i]);
	if (p->n > SUMMARY_PORTS)
		buf_str(out, " ...");
}

static void add_since(struct buf *out, const struct summary_group *g, bool utf8)
{
	char text[48];

	if (g->oldest_is == TCP_AGE_UNKNOWN)
		return;
	if (g->oldest_is == TCP_AGE_AT_LEAST)
		buf_str(out, utf8 ? "≥ " : ">= ");
	buf_str(out, num_duration_text((int64_t)g->oldest_ms * 1000000, text, sizeof(text)));
}

static void make_cell(struct buf *out, int cell, const struct census *c,
		      const struct summary_group *g, bool utf8)
{
	switch (cell) {
	case CELL_COUNT:
		buf_printf(out, "%" PRIu32, g->n);
		break;
	case CELL_STATE:
		buf_str(out, tcp_state_name(g->state));
		break;
	case CELL_CAUSE:
		buf_str(out, tcp_cause_name(g->cause));
		break;
	case CELL_SINCE:
		add_since(out, g, utf8);
		break;
	case CELL_WHO:
		add_who(out, c, g, utf8);
		break;
	default:
		add_ports(out, c, g, utf8);
	}
	if (!out->len)
		buf_str(out, "-");
}

static void add_row(struct buf *out, const struct census *c, const struct summary_group *g,
		    const unsigned *width, const struct report_style *style)
{
	_buf_ struct buf cell = { 0 };

	for (int i = 0; i < CELLS; i++) {
		size_t w, pad;

		cell.len = 0;
		if (g)
			make_cell(&cell, i, c, g, style->utf8);
		else
			buf_str(&cell, headings[i]);
		if (!cell.data)
			return;
		w = text_width(cell.data);
		pad = width[i] > w ? width[i] - w : 0;
		if (i == CELL_COUNT)
			buf_fill(out, ' ', pad);
		if (!g)
			style_paint(out, style, PAINT_DIM, cell.data);
		else if (i == CELL_STATE)
			style_paint(out, style, style_state_paint(g->state), cell.data);
		else if (i == CELL_CAUSE && g->findings)
			style_paint(out, style, PAINT_BAD, cell.data);
		else
			buf_str(out, cell.data);
		if (i != CELL_COUNT && i + 1 < CELLS)
			buf_fill(out, ' ', pad);
		buf_str(out, i + 1 < CELLS ? "  " : "\n");
	}
}

/* What to do, and the listener where that is the place to do it. */
static void add_advice(struct buf *out, const struct census *c, const struct summary_group *g,
		       unsigned indent, const struct report_style *style)
{
	const char *advice = tcp_cause_advice(g->cause);
	_buf_ struct buf line = { 0 };
	char text[TCP_ADDR_TEXT];

	if (!advice)
		return;
	buf_str(&line, style->utf8 ? "└ " : "- ");
	buf_str(&line, advice);
	if (g->listener != CENSUS_NONE) {
		const struct census_listener *l = &c->listeners[g->listener];

		buf_printf(&line, " (listener %s, %" PRIu32 " of at most %" PRIu32 " waiting)",
			   tcp_addr_text(&l->s.local, text), l->s.recv_q, l->s.send_q);
	}
	if (line.failed)
		return;
	buf_fill(out, ' ', indent);
	style_paint(out, style, PAINT_DIM, line.data);
	buf_str(out, "\n");
}

static void measure(const struct census *c, const struct summary *sum, bool utf8, unsigned *width)
{
	_buf_ struct buf cell = { 0 };

	for (int i = 0; i < CELLS; i++)
		width[i] = (unsigned)strlen(headings[i]);
	for (uint32_t k = 0; k < sum->n; k++)
		for (int i = 0; i < CELLS; i++) {
			size_t w;

			cell.len = 0;
			make_cell(&cell, i, c, &sum->v[k], utf8);
			w = cell.data ? text_width(cell.data) : 0;
			if (w > width[i])
				width[i] = (unsigned)w;
		}
}

static void add_headline(struct buf *out, const struct summary *sum)
{
	char older[48];

	num_duration_text((int64_t)sum->older_ms * 1000000, older, sizeof(older));
	if (sum->sockets == 1)
		buf_str(out, sum->findings ? "1 socket needs a person"
					   : "1 socket, which needs no person");
	else if (sum->findings)
		buf_printf(out, "%" PRIu32 " of %" PRIu32 " sockets need%s a person", sum->findings,
			   sum->sockets, sum->findings == 1 ? "s" : "");
	else
		buf_printf(out, "None of %" PRIu32 " sockets needs a person", sum->sockets);
	if (sum->older_ms)
		buf_printf(out, " (dead, or stuck for %s or longer)", older);
	buf_str(out, ".\n\n");
}

void list_text_summary(struct buf *out, const struct census *c, const struct summary *sum,
		       const struct report_style *style)
{
	unsigned width[CELLS];

	if (!sum->sockets) {
		buf_str(out, "No half-closed, dead or stuck socket.\n");
		return;
	}
	add_headline(out, sum);
	measure(c, sum, style->utf8, width);
	add_row(out, c, NULL, width, style);
	for (uint32_t i = 0; i < sum->n; i++) {
		add_row(out, c, &sum->v[i], width, style);
		add_advice(out, c, &sum->v[i], width[CELL_COUNT] + 2, style);
	}
}

static int fuller_first(const void *pa, const void *pb)
{
	const struct census_time_wait *a = pa, *b = pb;

	if (a->outgoing != b->outgoing)
		return b->outgoing - a->outgoing;
	return (a->n < b->n) - (a->n > b->n);
}

static void add_destination(struct buf *out, const struct census *c,
			    const struct census_time_wait *t)
{
	const struct census_netns *ns = &c->netns[t->netns];
	unsigned ports = ns->port_hi ? ns->port_hi - ns->port_lo + 1u : 0;
	char local[TCP_ADDR_TEXT], peer[TCP_ADDR_TEXT];

	if (!t->outgoing) {
		buf_printf(out, "  %7" PRIu32 "  at %s from %s\n", t->n,
			   tcp_addr_text(&t->local, local), tcp_addr_host_text(&t->peer, peer));
		return;
	}
	buf_printf(out, "  %7" PRIu32 "  to %s from %s", t->n, tcp_addr_text(&t->peer, peer),
		   tcp_addr_host_text(&t->local, local));
	if (ports)
		buf_printf(out, ": %.1f %% of %u ephemeral ports", 100.0 * t->n / ports, ports);
	buf_str(out, "\n");
}

void list_text_time_wait(struct buf *out, const struct census *c, unsigned most)
{
	struct census_time_wait *sorted;

	if (!c->time_wait_all)
		return;
	sorted = calloc(c->time_wait_n, sizeof(*sorted));
	if (!sorted)
		return;
	memcpy(sorted, c->time_wait, c->time_wait_n * sizeof(*sorted));
	qsort(sorted, c->time_wait_n, sizeof(*sorted), fuller_first);
	buf_printf(out, "\n%" PRIu32 " in TIME_WAIT, which is normal:\n", c->time_wait_all);
	for (uint32_t i = 0; i < c->time_wait_n && i < most; i++)
		if (sorted[i].n)
			add_destination(out, c, &sorted[i]);
	if (c->time_wait_n > most)
		buf_printf(out, "  and %" PRIu32 " more destinations\n", c->time_wait_n - most);
	free(sorted);
}

/* What of the four was not seen; nothing where it was. */
enum {
	UNSEEN_DESCRIPTORS,
	UNSEEN_NETNS,
	UNSEEN_NETNS_OF,
	UNSEEN_DEAD,
	UNSEEN_COUNT
};

static void add_descriptors_unseen(struct buf *out, const struct census_unseen *u)
{
	uint32_t told = 0;

	buf_printf(out, "the descriptors of %" PRIu32 " process%s (", u->processes,
		   u->processes == 1 ? "" : "es");
	for (uint32_t i = 0; i < u->users_n; i++) {
		buf_printf(out, "%suser %" PRIu32 ": %" PRIu32, i ? ", " : "", u->users[i].uid,
			   u->users[i].processes);
		told += u->users[i].processes;
	}
	if (told < u->processes)
		buf_printf(out, ", others: %" PRIu32, u->processes - told);
	buf_str(out, ")");
}

/* The processes are named where they are few. */
static void add_netns_untold(struct buf *out, const struct census_limits *l)
{
	const char *between = " (";

	buf_printf(out, "other network namespaces in which %" PRIu32 " process%s may be",
		   l->netns_untold, l->netns_untold == 1 ? "" : "es");
	if (l->netns_untold > CENSUS_UNTOLD_PIDS)
		return;
	for (uint32_t i = 0; i < l->netns_untold; i++, between = ", ")
		buf_printf(out, "%s%" PRIu32, between, l->netns_untold_pid[i]);
	buf_str(out, ")");
}

static bool add_unseen(struct buf *out, const struct census_limits *l, int what)
{
	size_t before = out->len;

	if (what == UNSEEN_DESCRIPTORS && l->procs_unseen.processes)
		add_descriptors_unseen(out, &l->procs_unseen);
	if (what == UNSEEN_NETNS && l->netns_unseen)
		buf_printf(out, "%" PRIu32 " other network namespace%s", l->netns_unseen,
			   l->netns_unseen == 1 ? "" : "s");
	if (what == UNSEEN_NETNS_OF && l->netns_untold)
		add_netns_untold(out, l);
	if (what == UNSEEN_DEAD && l->dead_unseen)
		buf_printf(out, "whether %" PRIu32 " descriptor%s dead", l->dead_unseen,
			   l->dead_unseen == 1 ? " is" : "s are");
	return out->len > before;
}

bool list_unseen_line(struct buf *out, const struct census *c)
{
	size_t before = out->len;

	for (int i = 0; i < UNSEEN_COUNT; i++) {
		_buf_ struct buf one = { 0 };

		if (!add_unseen(&one, &c->limits, i) || one.failed)
			continue;
		buf_str(out, out->len > before ? "; " : "");
		buf_str(out, one.data);
	}
	if (out->len > before && !c->limits.privileged)
		buf_str(out, "; run as root to see all");
	return out->len > before;
}

static void add_unseen_lines(struct buf *out, const struct census_limits *l)
{
	bool any = false;

	for (int i = 0; i < UNSEEN_COUNT; i++) {
		_buf_ struct buf one = { 0 };

		if (!add_unseen(&one, l, i) || one.failed)
			continue;
		buf_printf(out, "Not seen: %s.\n", one.data);
		any = true;
	}
	if (any && !l->privileged)
		buf_str(out, "Run as root to see all.\n");
}

void list_text_limits(struct buf *out, const struct census *c, const struct report_style *style)
{
	const struct census_limits *l = &c->limits;
	uint32_t seen = 0;

	for (uint32_t i = 0; i < c->netns_n; i++)
		seen += c->netns[i].seen;
	buf_printf(out, "\nLooked with %s in %" PRIu32 " network namespace%s.\n",
		   c->tier == CENSUS_TIER_BPF ? "BPF" : "sock_diag and /proc", seen,
		   seen == 1 ? "" : "s");
	if (l->tier_why[0])
		buf_printf(out, "Not with BPF: %s.\n", l->tier_why);
	add_unseen_lines(out, l);
	if (l->partial) {
		style_paint(out, style, PAINT_BAD, "Partial");
		buf_printf(out, ": %s.\n", l->why);
	}
}
