/* SPDX-License-Identifier: MIT */
#include "lab/record.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "kernel/diag.h"

void record_start(struct record *rec, struct tl_run *run, const struct lab_net *net)
{
	struct timespec wall;

	memset(rec, 0, sizeof(*rec));
	rec->run = run;
	rec->net = net;
	rec->start_ns = clock_mono_ns();
	clock_gettime(CLOCK_REALTIME, &wall);
	run->started_ns = wall.tv_sec * CLOCK_NS_PER_S + wall.tv_nsec;
}

int64_t record_now_us(const struct record *rec)
{
	return (clock_mono_ns() - rec->start_ns) / 1000;
}

uint16_t record_find_conn(const struct record *rec, enum tl_side side, const struct tcp_addr *local,
			  const struct tcp_addr *peer)
{
	struct tcp_addr l = tcp_addr_plain(local), p = tcp_addr_plain(peer);

	for (uint32_t i = rec->run->nconns; i-- > 0;) {
		const struct tl_conn *c = &rec->run->conns[i];

		if (tcp_addr_equal(&c->addr[side], &l) && tcp_addr_equal(&c->addr[!side], &p))
			return (uint16_t)i;
	}
	return TL_NO_CONN;
}

uint16_t record_find_cookie(const struct record *rec, enum tl_side side, uint64_t cookie)
{
	for (uint32_t i = rec->run->nconns; i-- > 0;)
		if (cookie && rec->cookie[i][side] == cookie)
			return (uint16_t)i;
	return TL_NO_CONN;
}

uint16_t record_connect_conn(struct record *rec, uint32_t event, enum tl_side side,
			     const struct tcp_addr *local)
{
	struct tcp_addr l = tcp_addr_plain(local);

	for (uint32_t i = rec->run->nconns; i-- > 0;)
		if (tcp_addr_equal(&rec->run->conns[i].addr[side], &l))
			return (uint16_t)i;
	for (int i = 0; i < RECORD_MAX_CONNECTS && l.port; i++) {
		struct record_connect *c = &rec->connects[i];

		if (c->event)
			continue;
		*c = (struct record_connect){ event + 1, (uint8_t)side, l };
		break;
	}
	return TL_NO_CONN;
}

/* Gives a connect() that came before its connection was known what it made. */
static void claim_connect(struct record *rec, uint16_t conn)
{
	for (int i = 0; i < RECORD_MAX_CONNECTS; i++) {
		struct record_connect *c = &rec->connects[i];

		if (!c->event || !tcp_addr_equal(&c->local, &rec->run->conns[conn].addr[c->side]))
			continue;
		rec->run->events[c->event - 1].conn = conn;
		c->event = 0;
	}
}

uint16_t record_add_conn(struct record *rec, const struct tcp_addr *client,
			 const struct tcp_addr *server)
{
	uint16_t before = record_find_conn(rec, TL_CLIENT, client, server);
	struct tl_run *run = rec->run;
	struct tl_conn *c;

	if (run->nconns == TL_MAX_CONNS) {
		run->conns_lost++;
		return TL_NO_CONN;
	}
	if (before != TL_NO_CONN)
		rec->replaced[before] = rec->follows[run->nconns] = true;
	c = &run->conns[run->nconns];
	c->addr[TL_CLIENT] = tcp_addr_plain(client);
	c->addr[TL_SERVER] = tcp_addr_plain(server);
	claim_connect(rec, (uint16_t)run->nconns);
	return (uint16_t)run->nconns++;
}

int record_sample(struct record *rec, uint16_t conn, enum tl_side side, struct tcp_sample *s,
		  struct err *e)
{
	const struct tl_conn *c = &rec->run->conns[conn];
	int r;

	if (rec->replaced[conn]) { /* the kernel would speak of its successor */
		*s = (struct tcp_sample){ .local = c->addr[side],
					  .peer = c->addr[!side],
					  .state = TCPS_GONE };
		return 0;
	}
	rec->run->state_queries++;
	r = diag_lookup(rec->net->diag[side], &c->addr[side], &c->addr[!side], s, e);
	/* TIME_WAIT of the connection before it, whose place it is about to take. */
	if (r == 0 && rec->follows[conn] && s->state == TCPS_TIME_WAIT &&
	    rec->last[conn][side].state == TCPS_GONE)
		s->state = TCPS_GONE;
	return r;
}

int record_ask(struct record *rec, uint16_t conn, struct tl_state states[2], struct err *e)
{
	struct tcp_sample s;
	int r;

	for (int side = 0; side < 2; side++) {
		states[side] = rec->last[conn][side];
		r = record_sample(rec, conn, side, &s, e);
		if (r < 0)
			return r;
		states[side] = tl_state_of(&s);
	}
	return 0;
}

struct tl_event *record_event(struct record *rec, enum tl_kind kind, enum tl_side from,
			      uint16_t conn)
{
	struct tl_run *run = rec->run;
	struct tl_event *v;

	if (run->nevents == TL_MAX_EVENTS) {
		run->events_lost++;
		return NULL;
	}
	v = &run->events[run->nevents++];
	*v = (struct tl_event){ .t_us = record_now_us(rec),
				.kind = (uint8_t)kind,
				.from = (uint8_t)from,
				.conn = conn };
	if (conn != TL_NO_CONN) {
		memcpy(v->before, rec->last[conn], sizeof(v->before));
		memcpy(v->after, rec->last[conn], sizeof(v->after));
	}
	return v;
}

void record_after(struct record *rec, struct tl_event *v, uint16_t conn,
		  const struct tl_state states[2])
{
	if (conn == TL_NO_CONN)
		return;
	if (v)
		memcpy(v->after, states, sizeof(v->after));
	memcpy(rec->last[conn], states, sizeof(rec->last[conn]));
}

int record_changes(struct record *rec, uint16_t conn, struct err *e)
{
	struct tl_state now[2];
	int r = record_ask(rec, conn, now, e);

	if (r < 0)
		return r;
	for (int side = 0; side < 2; side++) {
		if (now[side].state == rec->last[conn][side].state)
			continue;
		record_after(rec, record_event(rec, TL_STATE, side, conn), conn, now);
		return 0;
	}
	return 0;
}

/* Keeps the frame for the capture file. */
static void keep_frame(struct tl_run *run, struct tl_packet *p, const void *frame, size_t len)
{
	if (len > TL_FRAME_BYTES - run->frames_len) {
		run->frames_lost++;
		return;
	}
	p->frame_off = run->frames_len;
	p->frame_len = (uint32_t)len;
	memcpy(run->frames + run->frames_len, frame, len);
	run->frames_len += (uint32_t)len;
}

/* Learns the sender's first sequence number and window scale from its SYN. */
static void learn(struct tl_conn *c, enum tl_side from, const struct tcp_segment *seg)
{
	if (c->isn_known[from])
		return;
	/* Without the SYN, the first number seen is called 1, as if a SYN had come before it. */
	c->isn[from] = seg->flags & TL_SYN ? seg->seq : seg->seq - 1;
	c->isn_known[from] = true;
	if (seg->flags & TL_SYN && seg->wscale >= 0)
		c->wscale[from] = (uint8_t)seg->wscale;
}

struct tl_event *record_packet(struct record *rec, enum tl_side from, uint16_t conn,
			       const struct tcp_segment *seg, const void *frame, size_t len,
			       enum tl_fate fate, const struct tl_state before[2])
{
	struct tl_event *v = record_event(rec, TL_PACKET, from, conn);
	struct tl_conn *c = &rec->run->conns[conn];
	uint32_t seq, end;

	learn(c, from, seg);
	seq = seg->seq - c->isn[from];
	end = seq + segment_seq_len(seg);
	if (v) {
		memcpy(v->before, before, sizeof(v->before));
		v->packet = (struct tl_packet){
			.flags = seg->flags,
			.fate = (uint8_t)fate,
			.len = seg->len,
			.seq = seq,
			.ack = seg->flags & TL_ACK ? seg->ack - c->isn[!from] : 0,
			.window = (uint32_t)seg->window
				  << (seg->flags & TL_SYN ? 0 : c->wscale[from]),
			.retransmission = fate <= TL_HELD && end != seq &&
					  (int32_t)(end - rec->seq_end[conn][from]) <= 0,
		};
		keep_frame(rec->run, &v->packet, frame, len);
	}
	if (fate != TL_INJECTED && (int32_t)(end - rec->seq_end[conn][from]) > 0)
		rec->seq_end[conn][from] = end;
	memcpy(rec->last[conn], before, sizeof(rec->last[conn]));
	return v;
}

void record_finish(struct record *rec, enum tl_status status, const char *error)
{
	if (rec->run->status != TL_RUNNING)
		return;
	rec->run->run_us = record_now_us(rec);
	snprintf(rec->run->error, sizeof(rec->run->error), "%s", error);
	rec->run->status = (uint8_t)status;
}
