/* SPDX-License-Identifier: MIT */
#include "report/story.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* Stretches longer than the limit are folded; so many events stay at their start and end. */
#define PLAIN_LIMIT 12
#define PLAIN_HEAD  5
#define PLAIN_TAIL  3
#define ALIKE_LIMIT 5
#define ALIKE_HEAD  2
#define ALIKE_TAIL  1

/* With more connections than this, only three are shown. */
#define CONNS_SHOWN 4

struct teller {
	struct story *story;
	const struct tl_run *run;
	uint8_t (*shown)[2]; /* per connection: the states that the reader has seen last */
	uint16_t conn;       /* of the rows before */
	uint32_t expect;     /* the next expectation that no row has */
	int64_t origin_us;   /* of the first event: the rows count from there */
};

static struct story_row *add_row(struct teller *t, uint8_t kind, uint16_t conn, int64_t t_us)
{
	struct story *s = t->story;
	struct story_row *row;

	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 64;
		struct story_row *rows = realloc(s->rows, cap * sizeof(*rows));

		if (!rows)
			return NULL;
		s->rows = rows;
		s->cap = cap;
	}
	row = &s->rows[s->n++];
	*row = (struct story_row){ .kind = kind,
				   .from = TL_NOBODY,
				   .to = TL_NOBODY,
				   .conn = conn,
				   .t_us = t_us - t->origin_us };
	if (conn < t->run->nconns)
		memcpy(row->state, t->shown[conn], sizeof(row->state));
	return row;
}

/* Gives the row the states as they are now, and remembers them as seen. */
static void show_states(struct teller *t, struct story_row *row, const struct tl_state states[2])
{
	if (row->conn >= t->run->nconns)
		return;
	for (unsigned side = 0; side < 2; side++) {
		row->changed[side] = states[side].state != t->shown[row->conn][side];
		row->state[side] = t->shown[row->conn][side] = states[side].state;
	}
}

static bool conn_is_shown(const struct tl_run *run, uint16_t conn)
{
	const struct tl_observation *seen = story_main(run);

	if (conn == TL_NO_CONN || run->nconns <= CONNS_SHOWN)
		return true;
	return conn == 0 || conn + 1u == run->nconns || (seen && conn == seen->conn);
}

/* No state differs from what the reader has seen. */
static bool states_stay(const struct teller *t, const struct tl_event *v)
{
	const uint8_t *shown;

	if (v->conn >= t->run->nconns)
		return true;
	shown = t->shown[v->conn];
	for (unsigned side = 0; side < 2; side++)
		if (v->before[side].state != shown[side] || v->after[side].state != shown[side])
			return false;
	return true;
}

/* Data or an acknowledgement that went through, or a call that moved some. */
static bool is_plain(const struct tl_event *v)
{
	if (v->kind == TL_PACKET)
		return v->packet.fate == TL_DELIVERED && !v->packet.retransmission &&
		       !(v->packet.flags & (TL_SYN | TL_FIN | TL_RST));
	return v->kind == TL_CALL && v->call.returned && v->call.result > 0 &&
	       (!strncmp(v->call.name, "read", 4) || !strncmp(v->call.name, "write", 5));
}

static bool are_alike(const struct tl_event *a, const struct tl_event *b)
{
	return a->kind == TL_PACKET && b->kind == TL_PACKET && a->from == b->from &&
	       a->packet.flags == b->packet.flags && a->packet.fate == b->packet.fate &&
	       a->packet.len == b->packet.len &&
	       a->packet.retransmission == b->packet.retransmission;
}

/* The events from `first` on that may be folded together; 1 where there are none. */
static uint32_t stretch(const struct teller *t, uint32_t first, bool alike)
{
	const struct tl_run *run = t->run;
	const struct tl_event *a = &run->events[first];
	uint32_t i = first, end = run->nevents;

	if (t->expect < run->nexpects && run->expects[t->expect].event < end)
		end = run->expects[t->expect].event;
	for (; i < end; i++) {
		const struct tl_event *v = &run->events[i];

		if (v->conn != a->conn || !states_stay(t, v))
			break;
		if (alike ? !are_alike(a, v) : !is_plain(v))
			break;
	}
	return i > first ? i - first : 1;
}

static void count_event(struct story_row *row, const struct tl_event *v)
{
	row->count++;
	row->ncalls += v->kind == TL_CALL;
	if (v->kind == TL_PACKET && v->from < 2)
		row->bytes[v->from] += v->packet.len;
}

static int add_fold(struct teller *t, uint32_t first, uint32_t count)
{
	const struct tl_event *v = &t->run->events[first];
	struct story_row *row = add_row(t, STORY_FOLD, v->conn, v->t_us);

	if (!row)
		return -ENOMEM;
	row->event = first;
	for (uint32_t i = 0; i < count; i++)
		count_event(row, &t->run->events[first + i]);
	return 0;
}

/* Where a made-up packet goes: to the host that its IP header names. */
static uint8_t host_of_frame(const struct tl_run *run, const struct tl_packet *p)
{
	const uint8_t *ip;
	size_t at, len;

	if (p->frame_len < 14 || (uint64_t)p->frame_off + p->frame_len > run->frames_len)
		return TL_NOBODY;
	ip = run->frames + p->frame_off + 14;
	at = ip[0] >> 4 == 6 ? 24 : 16;
	len = ip[0] >> 4 == 6 ? 16 : 4;
	if (p->frame_len < 14 + at + len)
		return TL_NOBODY;
	for (uint8_t side = 0; side < 2; side++)
		if (!memcmp(run->host[side].bytes, ip + at, len))
			return side;
	return TL_NOBODY;
}

static void set_ends(const struct tl_run *run, struct story_row *row, const struct tl_event *v)
{
	row->from = v->from;
	if (v->kind != TL_PACKET)
		return;
	row->to = v->from < 2 ? !v->from : host_of_frame(run, &v->packet);
	if (row->to == TL_NOBODY)
		row->to = TL_SERVER;
}

/* A packet, a call or a change by a timer. What happened before it gets a row of its own only
 * where the event itself changes that end again. */
static int add_event(struct teller *t, uint32_t i)
{
	static const uint8_t kinds[] = {
		[TL_PACKET] = STORY_PACKET, [TL_CALL] = STORY_CALL, [TL_STATE] = STORY_STATE
	};
	const struct tl_event *v = &t->run->events[i];
	struct story_row *row;

	if (v->conn < t->run->nconns) {
		struct tl_state first[2];
		bool twice = false;

		for (unsigned side = 0; side < 2; side++) {
			uint8_t shown = t->shown[v->conn][side];
			bool both = v->before[side].state != shown &&
				    v->after[side].state != v->before[side].state;

			first[side].state = both ? v->before[side].state : shown;
			twice |= both;
		}
		if (twice) {
			row = add_row(t, STORY_STATE, v->conn, v->t_us);
			if (!row)
				return -ENOMEM;
			row->event = i;
			show_states(t, row, first);
		}
	}
	row = add_row(t, kinds[v->kind], v->conn, v->t_us);
	if (!row)
		return -ENOMEM;
	row->event = i;
	set_ends(t->run, row, v);
	show_states(t, row, v->after);
	return 0;
}

/* Gives `row` the expectations decided before event number `limit`. */
static void take_expects(struct teller *t, struct story_row *row, uint32_t limit)
{
	row->first_expect = t->expect;
	while (t->expect < t->run->nexpects && t->run->expects[t->expect].event <= limit)
		t->expect++;
	row->nexpects = t->expect - row->first_expect;
}

static int add_expects(struct teller *t, uint32_t limit)
{
	const struct tl_expect *next = &t->run->expects[t->expect];
	struct story_row *row;

	if (t->expect >= t->run->nexpects || next->event > limit)
		return 0;
	row = add_row(t, STORY_EXPECT, t->conn, next->t_us);
	if (!row)
		return -ENOMEM;
	take_expects(t, row, limit);
	return 0;
}

/* Whether an observation without a title says again what the row before has said. */
static bool is_repeated(const struct teller *t, const struct tl_event *v)
{
	const struct story_row *last = t->story->n ? &t->story->rows[t->story->n - 1] : NULL;
	const struct tl_observation *now, *then;

	if (!last || last->kind != STORY_OBSERVE || v->observation >= t->run->nobservations)
		return false;
	now = &t->run->observations[v->observation];
	if (t->run->events[last->event].observation >= t->run->nobservations)
		return false;
	then = &t->run->observations[t->run->events[last->event].observation];
	return !now->title[0] && now->conn == then->conn &&
	       now->ends[0].sample.state == then->ends[0].sample.state &&
	       now->ends[1].sample.state == then->ends[1].sample.state;
}

static int add_mark(struct teller *t, uint32_t i)
{
	const struct tl_event *v = &t->run->events[i];
	bool observe = v->kind == TL_OBSERVE;
	uint16_t conn = t->conn;
	struct story_row *row;

	if (observe && is_repeated(t, v))
		return add_expects(t, i + 1);
	if (observe && v->observation < t->run->nobservations)
		conn = t->run->observations[v->observation].conn;
	row = add_row(t, observe ? STORY_OBSERVE : STORY_STEP, conn, v->t_us);
	if (!row)
		return -ENOMEM;
	row->event = i;
	if (observe)
		take_expects(t, row, i + 1);
	return 0;
}

/* Counts events of connections that are not shown, up to the next that is. */
static int add_hidden(struct teller *t, uint32_t *i)
{
	struct story_row *row = add_row(t, STORY_FOLD, TL_NO_CONN, t->run->events[*i].t_us);

	if (!row)
		return -ENOMEM;
	row->event = *i;
	for (; *i < t->run->nevents; (*i)++) {
		const struct tl_event *v = &t->run->events[*i];

		if (v->kind > TL_STATE || conn_is_shown(t->run, v->conn))
			break;
		count_event(row, v);
	}
	return 0;
}

static int add_stretch(struct teller *t, uint32_t *i)
{
	uint32_t n = stretch(t, *i, true), head = ALIKE_HEAD, tail = ALIKE_TAIL;
	int r = 0;

	if (n <= ALIKE_LIMIT) {
		n = stretch(t, *i, false);
		head = PLAIN_HEAD;
		tail = PLAIN_TAIL;
		if (n <= PLAIN_LIMIT)
			return add_event(t, (*i)++);
	}
	for (uint32_t k = 0; k < n && r == 0; k++) {
		if (k == head) {
			r = add_fold(t, *i + k, n - head - tail);
			k = n - tail - 1;
		} else {
			r = add_event(t, *i + k);
		}
	}
	*i += n;
	return r;
}

static int add_next(struct teller *t, uint32_t *i)
{
	const struct tl_event *v = &t->run->events[*i];

	if (v->kind != TL_OBSERVE && add_expects(t, *i) < 0)
		return -ENOMEM;
	if (v->kind > TL_STATE)
		return add_mark(t, (*i)++);
	if (!conn_is_shown(t->run, v->conn))
		return add_hidden(t, i);
	if (v->conn != TL_NO_CONN && v->conn != t->conn) {
		if (t->conn != TL_NO_CONN) {
			struct story_row *row = add_row(t, STORY_CONN, v->conn, v->t_us);

			if (!row)
				return -ENOMEM;
			row->event = *i;
		}
		t->conn = v->conn;
	}
	return add_stretch(t, i);
}

int story_tell(struct story *s, const struct tl_run *run)
{
	struct story made = { 0 };
	struct teller t = { .story = &made, .run = run, .conn = TL_NO_CONN };
	int r = 0;

	if (run->nevents)
		t.origin_us = run->events[0].t_us;

	t.shown = calloc(run->nconns + 1u, sizeof(*t.shown));
	if (!t.shown)
		return -ENOMEM;
	for (uint32_t i = 0; i < run->nevents && r == 0;)
		r = add_next(&t, &i);
	if (r == 0)
		r = add_expects(&t, UINT32_MAX);
	free(t.shown);
	if (r < 0) {
		story_free(&made);
		return r;
	}
	*s = made;
	return 0;
}

void story_free(struct story *s)
{
	free(s->rows);
	*s = (struct story){ 0 };
}
