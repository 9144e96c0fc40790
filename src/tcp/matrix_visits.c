/* SPDX-License-Identifier: MIT */
/* Finds in a timeline which events met an end in which closing state. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tcp/matrix.h"

const uint8_t matrix_states[MATRIX_STATE_COUNT] = {
	TCPS_FIN_WAIT1, TCPS_FIN_WAIT2, TCPS_CLOSING, TCPS_TIME_WAIT, TCPS_CLOSE_WAIT, TCPS_LAST_ACK
};

/* What is known of an end so far. */
struct end {
	uint32_t sent; /* highest relative sequence number sent, and one */
	bool aborts;   /* SO_LINGER is on with 0 s */
	bool let_go;   /* its descriptor was closed, or its process has ended */
	uint8_t state; /* as of the event before */
};

struct visits {
	bool (*seen)[MATRIX_EVENT_COUNT];
	struct end ends[TL_MAX_CONNS][2];
};

static void mark(struct visits *v, unsigned state, enum matrix_event event)
{
	for (unsigned i = 0; i < MATRIX_STATE_COUNT; i++)
		if (matrix_states[i] == state)
			v->seen[i][event] = true;
}

static bool is_call(const struct tl_call *c, const char *name)
{
	return !strncmp(c->name, name, sizeof(c->name));
}

static void look_at_call(struct visits *v, const struct tl_event *e)
{
	struct end *end = &v->ends[e->conn][e->from];
	const struct tl_call *c = &e->call;
	unsigned state = e->before[e->from].state;

	if (is_call(c, "setsockopt")) {
		if (!strncmp(c->detail, "SO_LINGER ", 10))
			end->aborts = !strcmp(c->detail, "SO_LINGER on 0");
	} else if (is_call(c, "close")) {
		mark(v, state, end->aborts ? MATRIX_ABORT : MATRIX_CLOSE);
		end->let_go = true;
	} else if (is_call(c, "shutdown")) {
		mark(v, state,
		     !strcmp(c->detail, "SHUT_RD") ? MATRIX_SHUT_READ : MATRIX_SHUT_WRITE);
	} else if (is_call(c, "write")) {
		mark(v, state, MATRIX_WRITE);
	} else if (is_call(c, "read")) {
		if (c->returned && c->result == -ETIMEDOUT)
			mark(v, state, MATRIX_GIVES_UP);
		else
			mark(v, state,
			     c->returned && c->result > 0 ? MATRIX_READ_DATA : MATRIX_READ_END);
	} else if ((is_call(c, "exit") || is_call(c, "killed")) && !end->let_go) {
		mark(v, state, MATRIX_EXIT);
		end->let_go = true;
	}
}

static bool arrived(const struct tl_packet *p)
{
	return p->fate != TL_DROPPED && p->fate != TL_HELD;
}

/* What a segment that arrives is to the end that gets it. */
static void look_at_arrival(struct visits *v, const struct tl_event *e)
{
	const struct tl_packet *p = &e->packet;
	unsigned before = e->before[!e->from].state, after = e->after[!e->from].state;
	bool moves = before != after;

	if (p->flags & TL_RST) {
		mark(v, before, MATRIX_RST);
		return;
	}
	if (p->flags & TL_SYN) {
		mark(v, before, MATRIX_SYN);
		return;
	}
	if (p->len > 0)
		mark(v, before, MATRIX_DATA);
	if (p->flags & TL_FIN) {
		bool first = (before == TCPS_FIN_WAIT1 || before == TCPS_FIN_WAIT2) && moves;

		mark(v, before, first ? MATRIX_FIN : MATRIX_OLD_FIN);
	}
	if (p->flags & TL_ACK &&
	    ((before == TCPS_FIN_WAIT1 && (after == TCPS_FIN_WAIT2 || after == TCPS_TIME_WAIT)) ||
	     (before == TCPS_CLOSING && after == TCPS_TIME_WAIT) ||
	     (before == TCPS_LAST_ACK && moves)))
		mark(v, before, MATRIX_ACK);
}

/* What a segment says of the end that sent it: a timer may have. */
static void look_at_sender(struct visits *v, const struct tl_event *e)
{
	struct end *end = &v->ends[e->conn][e->from];
	const struct tl_packet *p = &e->packet;
	const struct tl_state *state = &e->before[e->from];
	uint32_t last = p->seq + p->len + !!(p->flags & TL_FIN) + !!(p->flags & TL_SYN);
	/* An empty segment from before what was sent last asks for an ACK: RFC 9293 §3.8.4, and
	 * tcp_xmit_probe_skb(). */
	bool probe = !(p->flags & (TL_SYN | TL_FIN | TL_RST)) && p->len == 0 &&
		     p->seq + 1 == end->sent;

	if (p->fate == TL_INJECTED || p->fate == TL_RELEASED || p->fate == TL_DUPLICATED)
		return;
	/* What a timer sent, it sent in the state of the event before: the end may have moved on
	 * while the segment waited for the wire. */
	if (p->retransmission && (p->len > 0 || p->flags & TL_FIN) &&
	    end->state != TCPS_FIN_WAIT2 && end->state != TCPS_TIME_WAIT)
		/* These have nothing left to send: it was on its way before. */
		mark(v, end->state, MATRIX_RETRANSMIT);
	if (p->flags & TL_RST && state->state == TCPS_GONE && !end->let_go)
		mark(v, end->state, MATRIX_GIVES_UP); /* tcp_write_err(), and a last word */
	if (probe)
		mark(v, end->state,
		     state->timer == TCP_TIMER_KEEPALIVE ? MATRIX_KEEPALIVE : MATRIX_PROBE);
	if ((int32_t)(last - end->sent) > 0)
		end->sent = last;
}

/* Whether a later connection has the same addresses: its end has then taken the old one's place. */
static bool is_used_again(const struct tl_run *run, uint16_t conn)
{
	const struct tl_conn *c = &run->conns[conn];

	for (uint32_t i = (uint32_t)conn + 1; i < run->nconns; i++)
		if (tcp_addr_equal(&run->conns[i].addr[0], &c->addr[0]) &&
		    tcp_addr_equal(&run->conns[i].addr[1], &c->addr[1]))
			return true;
	return false;
}

/* A state that changed without packet or call: a timer. */
static void look_at_timer(struct visits *v, const struct tl_run *run, const struct tl_event *e)
{
	for (int side = 0; side < 2; side++) {
		const struct tl_state *before = &e->before[side];
		bool own = before->state == TCPS_TIME_WAIT ||
			   (before->state == TCPS_FIN_WAIT2 && before->orphan);

		if (before->state != e->after[side].state && e->after[side].state == TCPS_GONE &&
		    !is_used_again(run, e->conn))
			mark(v, before->state, own ? MATRIX_RUNS_OUT : MATRIX_GIVES_UP);
	}
}

void matrix_visits(const struct tl_run *run, bool seen[MATRIX_STATE_COUNT][MATRIX_EVENT_COUNT])
{
	struct visits *v = calloc(1, sizeof(*v));

	if (!v)
		return;
	v->seen = seen;
	for (uint32_t i = 0; i < run->nevents; i++) {
		const struct tl_event *e = &run->events[i];

		if (e->conn >= run->nconns || (e->kind != TL_STATE && e->from > TL_SERVER))
			continue;
		if (e->kind == TL_CALL)
			look_at_call(v, e);
		if (e->kind == TL_STATE)
			look_at_timer(v, run, e);
		if (e->kind == TL_PACKET && arrived(&e->packet))
			look_at_arrival(v, e);
		if (e->kind == TL_PACKET)
			look_at_sender(v, e);
		for (int side = 0; side < 2; side++)
			v->ends[e->conn][side].state = e->after[side].state;
	}
	free(v);
}
