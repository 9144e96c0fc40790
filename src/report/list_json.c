/* SPDX-License-Identifier: MIT */
/* Written by hand, not with jansson: 80,000 lines are to take a tenth of a second, and nothing is
 * nested that could be got wrong. tests/run/list.py parses every line. */
#include <inttypes.h>
#include <string.h>

#include "report/json.h"
#include "report/list.h"

static void add_address(struct buf *out, const char *name, const struct tcp_addr *a)
{
	char text[TCP_ADDR_TEXT];

	if (a->family && a->port)
		buf_printf(out, ",\"%s\":\"%s\"", name, tcp_addr_text(a, text));
	else
		buf_printf(out, ",\"%s\":null", name);
}

static void add_holders(struct buf *out, const struct census *c, const struct census_held *held)
{
	buf_str(out, "[");
	for (uint32_t i = 0; i < held->n; i++) {
		const struct census_holder *h = &c->holders[held->first + i];
		const struct census_proc *p = &c->procs[h->proc];

		buf_printf(out, "%s{\"pid\":%" PRIu32 ",\"comm\":", i ? "," : "", p->pid);
		json_quote(out, p->comm, strlen(p->comm));
		buf_printf(out, ",\"fd\":%" PRId32 "}", h->fd);
	}
	buf_str(out, "]");
}

static void add_listener(struct buf *out, const struct census *c, const struct census_listener *l)
{
	char text[TCP_ADDR_TEXT];

	buf_printf(out, "\"listener\":\"%s\",\"queue\":%" PRIu32 ",\"backlog\":%" PRIu32,
		   tcp_addr_text(&l->s.local, text), l->s.recv_q, l->s.send_q);
	buf_str(out, ",\"owners\":");
	add_holders(out, c, &l->held);
}

static void add_listeners(struct buf *out, const struct census *c, const struct census_socket *s)
{
	const char *between = "{";

	buf_str(out, ",\"one_of\":[");
	CENSUS_FOR_LISTENERS(i, c, s)
	{
		buf_str(out, between);
		add_listener(out, c, &c->listeners[i]);
		buf_str(out, "}");
		between = ",{";
	}
	buf_str(out, "]");
}

static void add_evidence(struct buf *out, const struct census *c, const struct census_socket *s)
{
	struct tcp_context context = census_context(c, s);
	struct tcp_evidence e[TCP_EVIDENCE_MAX];
	size_t n = tcp_evidence(&s->s, &s->v, &context, e);

	buf_str(out, ",\"evidence\":{");
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "%s\"%s\":%" PRId64, i ? "," : "", e[i].name, e[i].value);
	if (s->s.mptcp)
		buf_printf(out, "%s\"%s\":true", n ? "," : "",
			   s->s.mptcp == TCP_MPTCP_SUBFLOW ? "mptcp" : "mptcp_connection");
	if (s->listeners == 1) {
		buf_str(out, ",");
		add_listener(out, c, &c->listeners[s->listener]);
	} else if (s->listeners) {
		add_listeners(out, c, s);
	}
	buf_str(out, "}");
}

static void add_netns(struct buf *out, const struct census *c, const struct census_socket *s)
{
	uint64_t ino = s->netns == CENSUS_NONE ? s->s.netns : c->netns[s->netns].ino;

	if (ino)
		buf_printf(out, ",\"netns\":%" PRIu64, ino);
	else
		buf_str(out, ",\"netns\":null");
}

void list_json_socket(struct buf *out, const struct census *c, const struct census_socket *s,
		      uint64_t older_ms)
{
	buf_printf(out, "{\"schema\":%d,\"state\":\"%s\",\"cause\":\"%s\"", LIST_SCHEMA,
		   tcp_state_name(s->s.state), tcp_cause_name(s->v.cause));
	add_address(out, "local", &s->s.local);
	add_address(out, "peer", &s->s.peer);
	if (s->v.age_is == TCP_AGE_UNKNOWN)
		buf_str(out, ",\"age_ms\":null");
	else
		buf_printf(out, ",\"age_ms\":%" PRIu64, s->v.age_ms);
	buf_printf(out,
		   ",\"age_is\":\"%s\",\"recv_q\":%" PRIu32 ",\"send_q\":%" PRIu32
		   ",\"cookie\":%" PRIu64 ",\"inode\":%" PRIu32,
		   tcp_age_is_name(s->v.age_is), s->s.recv_q, s->s.send_q, s->s.cookie, s->s.inode);
	add_netns(out, c, s);
	buf_str(out, ",\"holders\":");
	add_holders(out, c, &s->held);
	add_evidence(out, c, s);
	buf_printf(out, ",\"needs_person\":%s}\n",
		   census_needs_person(s, older_ms) ? "true" : "false");
}
