/* SPDX-License-Identifier: MIT */
/* Says of an end what it is and what was done to it, as one line of JSON. */
#include "mkcause.h"

#include <stdio.h>
#include <unistd.h>

#include "tcp/addr.h"

static void print_span(const char *name, const struct span *s)
{
	if (s->to)
		printf(",\"%s\":[%lld,%lld]", name, (long long)s->from, (long long)s->to);
}

/* How the call was come to, innermost first. */
static void print_functions(const char *inner, const char *outer)
{
	printf(",\"functions\":\"%s%s\"", inner, outer);
}

static void print_told(const struct made *m)
{
	char outer[64];

	printf(",\"told\":{\"pid\":%d,\"tid\":%d,\"comm\":\"mkcause\"", getpid(), m->told_tid);
	print_span("at", &m->told);
	snprintf(outer, sizeof(outer), " make_%s make make_all main", m->made);
	for (char *c = outer; *c; c++)
		*c = *c == '-' ? '_' : *c;
	print_functions(m->told_in, m->told_tid == getpid() ? outer : "");
	printf("}");
}

static void print_doings(const struct made *m)
{
	print_span("began", &m->began);
	print_span("died", &m->died);
	print_span("closed", &m->closed);
	print_span("gone", &m->gone);
	printf(",\"resets\":%s,\"by_exit\":%s", m->resets ? "true" : "false",
	       m->by_exit ? "true" : "false");
	if (m->told.to)
		print_told(m);
	printf(",\"made_by\":{\"by\":\"%s\"", m->accepted ? "accept" : "connect");
	if (m->made_in)
		print_functions(m->made_in, " make make_all main");
	printf("}");
}

void print_one(const struct fix *f, const struct made *m)
{
	char local[TCP_ADDR_TEXT], peer[TCP_ADDR_TEXT];

	printf("{\"made\":\"%s\",\"cause\":\"%s\",\"snapshot\":\"%s\",\"end\":\"%s\",\"state\":\"%s\","
	       "\"local\":\"%s\",\"peer\":\"%s\",\"inode\":%llu,\"cookie\":%llu",
	       m->made, m->cause, m->snapshot ? m->snapshot : m->cause,
	       m->server ? "server" : "client", tcp_state_name(m->state),
	       tcp_addr_text(&m->local, local), tcp_addr_text(&m->peer, peer),
	       (unsigned long long)m->inode, (unsigned long long)m->cookie);
	if (m->variant)
		printf(",\"variant\":\"%s\"", m->variant);
	if (m->let_go)
		printf(",\"let_go\":%d", m->let_go);
	print_doings(m);
	if (m->listener >= 0) {
		const struct listener *l = &f->listeners[m->listener];

		printf(",\"listener\":{\"pid\":%d,\"fd\":%d,\"inode\":%llu,\"port\":%u,"
		       "\"queue\":%u,\"backlog\":%u}",
		       getpid(), l->fd, (unsigned long long)l->inode, l->addr.port, l->queued,
		       l->backlog);
	}
	printf(",\"pid\":%d,\"fd\":%d,\"holders\":[", m->n_holders ? m->holders[0].pid : 0,
	       m->n_holders ? m->holders[0].fd : -1);
	for (unsigned i = 0; i < m->n_holders; i++)
		printf("%s{\"pid\":%d,\"comm\":\"%s\",\"fd\":%d}", i ? "," : "", m->holders[i].pid,
		       m->holders[i].comm, m->holders[i].fd);
	printf("]}\n");
}
