/* SPDX-License-Identifier: MIT */
#include "report/lab_json.h"

#include <errno.h>
#include <string.h>

#include "report/json_line.h"
#include "report/story.h"
#include "tcp/matrix.h"

/* jansson's *_new() functions take NULL for "no memory" and pass it on: one check at the end would
 * miss a field that is silently absent, so each is counted. */
struct maker {
	bool failed;
};

static void put(struct maker *m, json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, value) < 0)
		m->failed = true;
}

static void append(struct maker *m, json_t *array, json_t *value)
{
	if (json_array_append_new(array, value) < 0)
		m->failed = true;
}

static json_t *field(const char *text, size_t cap)
{
	_buf_ struct buf b = { 0 };

	story_field(&b, text, cap, true);
	return b.failed ? NULL : json_stringn(b.data ? b.data : "", b.len);
}
#define FIELD(array) field((array), sizeof(array))

static json_t *addr_text(const struct tcp_addr *a)
{
	char text[TCP_ADDR_TEXT];

	return json_string(tcp_addr_text(a, text));
}

static const char *timer_name(unsigned timer)
{
	static const char *const names[] = {
		[TCP_TIMER_NONE] = "none",           [TCP_TIMER_RETRANSMIT] = "retransmit",
		[TCP_TIMER_KEEPALIVE] = "keepalive", [TCP_TIMER_TIME_WAIT] = "time-wait",
		[TCP_TIMER_PROBE] = "probe",
	};

	return timer < sizeof(names) / sizeof(names[0]) ? names[timer] : "unknown";
}

static const char *status_name(unsigned status)
{
	static const char *const names[] = {
		[TL_RUNNING] = "unfinished", [TL_PASSED] = "passed", [TL_FAILED] = "failed",
		[TL_BROKEN] = "broken",      [TL_CANNOT] = "cannot", [TL_SCRIPT] = "script",
	};

	return status < sizeof(names) / sizeof(names[0]) ? names[status] : "unknown";
}

static const char *fate_name(unsigned fate)
{
	static const char *const names[] = {
		[TL_DELIVERED] = "delivered",
		[TL_DROPPED] = "dropped",
		[TL_HELD] = "held",
		[TL_RELEASED] = "released",
		[TL_DUPLICATED] = "duplicated",
		[TL_INJECTED] = "injected",
	};

	return fate < sizeof(names) / sizeof(names[0]) ? names[fate] : "unknown";
}

static json_t *make_holders(struct maker *m, const struct tl_end *end)
{
	unsigned n = end->nholders < TL_MAX_HOLDERS ? end->nholders : TL_MAX_HOLDERS;
	json_t *list;

	if (!end->holders_known)
		return json_null();
	list = json_array();
	for (unsigned i = 0; i < n; i++) {
		json_t *one = json_object();

		put(m, one, "pid", json_integer(end->holders[i].pid));
		put(m, one, "comm", FIELD(end->holders[i].comm));
		put(m, one, "fd", json_integer(end->holders[i].fd));
		append(m, list, one);
	}
	return list;
}

static json_t *make_end(struct maker *m, const struct tl_end *end)
{
	const struct tcp_sample *s = &end->sample;
	json_t *o = json_object();

	put(m, o, "state", json_string(tcp_state_name(s->state)));
	put(m, o, "timer", json_string(timer_name(s->timer)));
	put(m, o, "timer_ms", json_integer(s->timer_ms));
	put(m, o, "retransmits", json_integer(s->retransmits));
	put(m, o, "recv_q", json_integer(s->recv_q));
	put(m, o, "send_q", json_integer(s->send_q));
	put(m, o, "told", json_boolean(end->told));
	put(m, o, "nholders", json_integer(end->nholders));
	put(m, o, "holders", make_holders(m, end));
	return o;
}

static json_t *make_ends(struct maker *m, const struct tl_observation *seen)
{
	json_t *o = json_object();

	for (unsigned side = 0; side < 2; side++)
		put(m, o, story_side_name(side),
		    seen ? make_end(m, &seen->ends[side]) : json_null());
	return o;
}

static json_t *make_expects(struct maker *m, const struct tl_run *run)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < run->nexpects; i++) {
		const struct tl_expect *x = &run->expects[i];
		json_t *o = json_object();

		put(m, o, "passed", json_boolean(x->passed));
		put(m, o, "end",
		    x->side < TL_NOBODY ? json_string(story_side_name(x->side)) : json_null());
		put(m, o, "wanted", FIELD(x->wanted));
		put(m, o, "seen", FIELD(x->seen));
		put(m, o, "where", FIELD(x->where));
		put(m, o, "t_us", json_integer(x->t_us));
		append(m, list, o);
	}
	return list;
}

static void put_packet(struct maker *m, json_t *o, const struct tl_packet *p)
{
	char flags[TL_FLAGS_TEXT];

	put(m, o, "flags", json_string(tl_flags_text(p->flags, flags)));
	put(m, o, "len", json_integer(p->len));
	put(m, o, "seq", json_integer(p->seq));
	put(m, o, "ack", p->flags & TL_ACK ? json_integer(p->ack) : json_null());
	put(m, o, "window", json_integer(p->window));
	put(m, o, "fate", json_string(fate_name(p->fate)));
	put(m, o, "retransmission", json_boolean(p->retransmission));
}

static void put_call(struct maker *m, json_t *o, const struct tl_call *c)
{
	put(m, o, "call", FIELD(c->name));
	put(m, o, "pid", json_integer(c->pid));
	put(m, o, "comm", FIELD(c->comm));
	put(m, o, "fd", c->fd >= 0 ? json_integer(c->fd) : json_null());
	put(m, o, "result", c->returned ? json_integer(c->result) : json_null());
	put(m, o, "detail", FIELD(c->detail));
}

/* The fields by kind. A step and an observation belong to no connection and change no state. */
static void put_details(struct maker *m, json_t *o, const struct tl_run *run,
			const struct tl_event *v)
{
	switch (v->kind) {
	case TL_PACKET:
		put_packet(m, o, &v->packet);
		break;
	case TL_CALL:
		put_call(m, o, &v->call);
		break;
	case TL_STEP:
		put(m, o, "text", FIELD(v->text));
		break;
	case TL_OBSERVE:
		put(m, o, "observation", json_integer(v->observation));
		break;
	default:
		break;
	}
	if (v->conn >= run->nconns || v->kind > TL_STATE)
		return;
	put(m, o, "conn", json_integer(v->conn));
	for (unsigned side = 0; side < 2; side++)
		put(m, o, story_side_name(side), json_string(tcp_state_name(v->after[side].state)));
}

static json_t *make_timeline(struct maker *m, const struct tl_run *run)
{
	static const char *const kinds[] = { "packet", "call", "state", "step", "observe" };
	json_t *list = json_array();

	for (uint32_t i = 0; i < run->nevents; i++) {
		const struct tl_event *v = &run->events[i];
		json_t *o = json_object();

		put(m, o, "t_us", json_integer(v->t_us));
		put(m, o, "kind", json_string(v->kind <= TL_OBSERVE ? kinds[v->kind] : "unknown"));
		put(m, o, "from",
		    v->from < TL_NOBODY ? json_string(story_side_name(v->from)) : json_null());
		put_details(m, o, run, v);
		append(m, list, o);
	}
	return list;
}

static json_t *make_observations(struct maker *m, const struct tl_run *run)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < run->nobservations; i++) {
		const struct tl_observation *seen = &run->observations[i];
		json_t *o = json_object();

		put(m, o, "t_us", json_integer(seen->t_us));
		put(m, o, "title", FIELD(seen->title));
		put(m, o, "conn", json_integer(seen->conn));
		put(m, o, "ends", make_ends(m, seen));
		append(m, list, o);
	}
	return list;
}

static json_t *make_conns(struct maker *m, const struct tl_run *run)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < run->nconns; i++) {
		json_t *o = json_object();

		for (unsigned side = 0; side < 2; side++)
			put(m, o, story_side_name(side), addr_text(&run->conns[i].addr[side]));
		append(m, list, o);
	}
	return list;
}

static json_t *make_lost(struct maker *m, const struct tl_run *run)
{
	json_t *o = json_object();

	put(m, o, "events", json_integer(run->events_lost));
	put(m, o, "frames", json_integer(run->frames_lost));
	put(m, o, "connections", json_integer(run->conns_lost));
	put(m, o, "expectations", json_integer(run->expects_lost));
	put(m, o, "observations", json_integer(run->observations_lost));
	return o;
}

static json_t *make_conclusions(struct maker *m, const struct tl_run *run)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < 2; i++)
		if (run->conclusion[i][0])
			append(m, list, FIELD(run->conclusion[i]));
	return list;
}

/* The cells of the matrix that the timeline goes through, as "FIN_WAIT_1/close". */
static json_t *make_cells(struct maker *m, const struct tl_run *run)
{
	bool seen[MATRIX_STATE_COUNT][MATRIX_EVENT_COUNT] = { 0 };
	json_t *list = json_array();

	matrix_visits(run, seen);
	for (unsigned s = 0; s < MATRIX_STATE_COUNT; s++)
		for (unsigned e = 0; e < MATRIX_EVENT_COUNT; e++)
			if (seen[s][e])
				append(m, list,
				       json_sprintf("%s/%s", tcp_state_name(matrix_states[s]),
						    matrix_event_name(e)));
	return list;
}

static json_t *make_run(struct maker *m, const struct tl_run *run)
{
	json_t *o = json_object();

	put(m, o, "schema", json_integer(LAB_JSON_SCHEMA));
	put(m, o, "scenario", FIELD(run->name));
	put(m, o, "title", FIELD(run->title));
	put(m, o, "source", FIELD(run->source));
	put(m, o, "rfc9293", run->rfc[0] ? FIELD(run->rfc) : json_null());
	put(m, o, "passed", json_boolean(run->status == TL_PASSED));
	put(m, o, "status", json_string(status_name(run->status)));
	put(m, o, "error", run->error[0] ? FIELD(run->error) : json_null());
	put(m, o, "loopback", json_boolean(run->loopback));
	put(m, o, "loss", json_integer(run->loss));
	put(m, o, "cells", make_cells(m, run));
	put(m, o, "conclusions", make_conclusions(m, run));
	put(m, o, "started_ns", json_integer(run->started_ns));
	put(m, o, "setup_us", json_integer(run->setup_us));
	put(m, o, "run_us", json_integer(run->run_us));
	put(m, o, "state_queries", json_integer((json_int_t)run->state_queries));
	put(m, o, "ends", make_ends(m, story_main(run)));
	put(m, o, "final", make_ends(m, story_final(run)));
	put(m, o, "expectations", make_expects(m, run));
	put(m, o, "connections", make_conns(m, run));
	put(m, o, "observations", make_observations(m, run));
	put(m, o, "timeline", make_timeline(m, run));
	put(m, o, "lost", make_lost(m, run));
	put(m, o, "late", json_integer(run->late));
	return o;
}

int lab_json(struct buf *out, const struct tl_run *run)
{
	struct maker m = { 0 };
	json_t *o = make_run(&m, run);

	if (m.failed) {
		json_decref(o);
		return -ENOMEM;
	}
	return json_line(out, o);
}
