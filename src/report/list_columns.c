/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/num.h"
#include "base/text.h"
#include "report/list.h"

static const char *const names[LIST_COLUMNS] = {
	[LIST_STATE] = "state",       [LIST_CAUSE] = "cause",
	[LIST_AGE] = "age",           [LIST_RECV_Q] = "recv-q",
	[LIST_SEND_Q] = "send-q",     [LIST_LOCAL] = "local",
	[LIST_PEER] = "peer",         [LIST_PID] = "pid",
	[LIST_COMM] = "comm",         [LIST_FD] = "fd",
	[LIST_NETNS] = "netns",       [LIST_CONTAINER] = "container",
	[LIST_CGROUP] = "cgroup",     [LIST_INODE] = "inode",
	[LIST_COOKIE] = "cookie",     [LIST_AGE_MS] = "age-ms",
	[LIST_AGE_IS] = "age-is",     [LIST_HOLDERS] = "holders",
	[LIST_LISTENER] = "listener", [LIST_EVIDENCE] = "evidence",
};

static int find_column(const char *word, size_t len)
{
	for (int i = 0; i < LIST_COLUMNS; i++)
		if (strlen(names[i]) == len && !memcmp(names[i], word, len))
			return i;
	return -1;
}

static int no_column(const char *word, size_t len, struct err *e)
{
	_buf_ struct buf typed = { 0 };
	const char *near;

	text_escape(&typed, word, len < 40 ? len : 40, false);
	near = typed.len ? text_nearest(typed.data, names, LIST_COLUMNS) : NULL;
	if (near)
		return err_set(e, -EINVAL, "no column '%s'; did you mean %s?", typed.data, near);
	return err_set(e, -EINVAL, "no column '%s'; say state, cause, age, pid, fd, peer ...",
		       typed.len ? typed.data : "");
}

int list_columns_parse(const char *text, uint8_t out[LIST_COLUMNS], struct err *e)
{
	int n = 0;

	for (const char *p = text;; p++) {
		size_t len = strcspn(p, ",");
		int column = find_column(p, len);

		if (column < 0)
			return no_column(p, len, e);
		if (n == LIST_COLUMNS)
			return err_set(e, -EINVAL, "more columns than there are");
		out[n++] = (uint8_t)column;
		p += len;
		if (!*p)
			return n;
	}
}

static void add_age(struct buf *out, const struct tcp_verdict *v, bool utf8)
{
	char text[48];

	if (v->age_is == TCP_AGE_UNKNOWN)
		return;
	if (v->age_is == TCP_AGE_AT_LEAST)
		buf_str(out, utf8 ? "≥ " : ">= ");
	buf_str(out, num_duration_text((int64_t)v->age_ms * 1000000, text, sizeof(text)));
}

static void add_address(struct buf *out, const struct tcp_addr *a)
{
	char text[TCP_ADDR_TEXT];

	if (a->family && a->port)
		buf_str(out, tcp_addr_text(a, text));
}

static void add_holders(struct buf *out, const struct census *c, const struct census_held *held,
			bool utf8)
{
	for (uint32_t i = 0; i < held->n; i++) {
		const struct census_holder *h = &c->holders[held->first + i];
		const struct census_proc *p = &c->procs[h->proc];

		buf_str(out, i ? "," : "");
		text_escape(out, p->comm, strlen(p->comm), utf8);
		buf_printf(out, "[%" PRIu32 "]:%" PRId32, p->pid, h->fd);
	}
}

static void add_listener(struct buf *out, const struct census *c, const struct census_listener *l,
			 bool utf8)
{
	char text[TCP_ADDR_TEXT];

	buf_printf(out, "%s(%" PRIu32 "/%" PRIu32 ")", tcp_addr_text(&l->s.local, text),
		   l->s.recv_q, l->s.send_q);
	if (l->held.n) {
		buf_str(out, "=");
		add_holders(out, c, &l->held, utf8);
	}
}

static void add_listeners(struct buf *out, const struct census *c, const struct census_socket *s,
			  bool utf8)
{
	const char *between = "";

	CENSUS_FOR_LISTENERS(i, c, s)
	{
		buf_str(out, between);
		add_listener(out, c, &c->listeners[i], utf8);
		between = "|";
	}
}

static void add_evidence(struct buf *out, const struct census *c, const struct census_socket *s)
{
	struct tcp_context context = census_context(c, s);
	struct tcp_evidence e[TCP_EVIDENCE_MAX];
	size_t n = tcp_evidence(&s->s, &s->v, &context, e);

	for (size_t i = 0; i < n; i++)
		buf_printf(out, "%s%s=%" PRId64, i ? "," : "", e[i].name, e[i].value);
	if (s->s.mptcp)
		buf_printf(out, "%s%s=1", n ? "," : "",
			   s->s.mptcp == TCP_MPTCP_SUBFLOW ? "mptcp" : "mptcp_connection");
}

static void add_netns(struct buf *out, const struct census *c, uint32_t netns, bool utf8)
{
	const struct census_netns *ns;

	if (netns == CENSUS_NONE)
		return;
	ns = &c->netns[netns];
	if (ns->name[0])
		text_escape(out, ns->name, strlen(ns->name), utf8);
	else
		buf_printf(out, "%" PRIu64, ns->ino);
}

static void holder_column(struct buf *out, enum list_column column, const struct census *c,
			  const struct census_socket *s, bool utf8)
{
	const struct census_holder *h;
	const struct census_proc *p;

	if (!s->held.n)
		return;
	h = &c->holders[s->held.first];
	p = &c->procs[h->proc];
	if (column == LIST_PID)
		buf_printf(out, "%" PRIu32, p->pid);
	else if (column == LIST_FD)
		buf_printf(out, "%" PRId32, h->fd);
	else if (column == LIST_COMM)
		text_escape(out, p->comm, strlen(p->comm), utf8);
	else if (column == LIST_CONTAINER)
		text_escape(out, p->container, strlen(p->container), utf8);
	else if (p->cgroup)
		text_escape(out, p->cgroup, strlen(p->cgroup), utf8);
}

void list_column(struct buf *out, enum list_column column, const struct census *c,
		 const struct census_socket *s, bool utf8)
{
	switch (column) {
	case LIST_STATE:
		buf_str(out, tcp_state_name(s->s.state));
		break;
	case LIST_CAUSE:
		buf_str(out, tcp_cause_name(s->v.cause));
		break;
	case LIST_AGE:
		add_age(out, &s->v, utf8);
		break;
	case LIST_AGE_MS:
		if (s->v.age_is != TCP_AGE_UNKNOWN)
			buf_printf(out, "%" PRIu64, s->v.age_ms);
		break;
	case LIST_AGE_IS:
		buf_str(out, tcp_age_is_name(s->v.age_is));
		break;
	case LIST_RECV_Q:
		buf_printf(out, "%" PRIu32, s->s.recv_q);
		break;
	case LIST_SEND_Q:
		buf_printf(out, "%" PRIu32, s->s.send_q);
		break;
	case LIST_LOCAL:
		add_address(out, &s->s.local);
		break;
	case LIST_PEER:
		add_address(out, &s->s.peer);
		break;
	case LIST_NETNS:
		add_netns(out, c, s->netns, utf8);
		break;
	case LIST_INODE:
		buf_printf(out, "%" PRIu32, s->s.inode);
		break;
	case LIST_COOKIE:
		buf_printf(out, "%" PRIu64, s->s.cookie);
		break;
	case LIST_HOLDERS:
		add_holders(out, c, &s->held, utf8);
		break;
	case LIST_LISTENER:
		add_listeners(out, c, s, utf8);
		break;
	case LIST_EVIDENCE:
		add_evidence(out, c, s);
		break;
	default:
		holder_column(out, column, c, s, utf8);
	}
}

static void add_cell(struct buf *out, struct buf *cell, const struct list_table *t, unsigned i,
		     const unsigned *width)
{
	const char *text = cell->len ? cell->data : "-";
	size_t w = text_width(text);

	buf_str(out, text);
	if (i + 1 == t->n)
		buf_str(out, "\n");
	else if (t->tabs)
		buf_str(out, "\t");
	else
		buf_fill(out, ' ', (width[i] > w ? width[i] - w : 0) + 2);
	cell->len = 0;
}

static void measure(const struct list_table *t, const struct census *c, const uint32_t *chosen,
		    uint32_t chosen_n, bool utf8, unsigned *width)
{
	_buf_ struct buf cell = { 0 };

	for (unsigned i = 0; i < t->n; i++)
		width[i] = t->heading ? (unsigned)strlen(names[t->columns[i]]) : 1;
	for (uint32_t k = 0; k < chosen_n; k++)
		for (unsigned i = 0; i + 1 < t->n; i++) {
			size_t w;

			cell.len = 0;
			list_column(&cell, t->columns[i], c, &c->sockets[chosen[k]], utf8);
			w = cell.len ? text_width(cell.data) : 1;
			if (w > width[i])
				width[i] = (unsigned)w;
		}
}

void list_table(struct buf *out, const struct list_table *t, const struct census *c,
		const uint32_t *chosen, uint32_t chosen_n, const struct report_style *style)
{
	_buf_ struct buf cell = { 0 };
	unsigned width[LIST_COLUMNS];

	if (!t->tabs)
		measure(t, c, chosen, chosen_n, style->utf8, width);
	for (unsigned i = 0; t->heading && i < t->n; i++) {
		for (const char *p = names[t->columns[i]]; *p; p++)
			buf_fill(&cell, (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p), 1);
		add_cell(out, &cell, t, i, width);
	}
	for (uint32_t k = 0; k < chosen_n; k++)
		for (unsigned i = 0; i < t->n; i++) {
			list_column(&cell, t->columns[i], c, &c->sockets[chosen[k]], style->utf8);
			add_cell(out, &cell, t, i, width);
		}
}
