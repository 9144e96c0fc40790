/* SPDX-License-Identifier: MIT */
/* What the script says of itself, and what it expects of the ends. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "lab/json_bytes.h"
#include "lab/lab.h"
#include "lab/rfc9293.h"

/* Chance takes packets only where the scenario does not forbid it. Retransmission is then made
 * fast, where the kernel allows it, so that a run with losses does not take minutes. */
static void set_loss(struct lab *lab, struct pending *p)
{
	const json_t *loss = json_object_get(p->args, "loss");
	static const struct {
		const char *name, *value;
	} quick[] = {
		{ "ipv4/tcp_rto_min_us", "5000" },    /* Linux 6.11 */
		{ "ipv4/tcp_rto_max_ms", "1000" },    /* Linux 6.15 */
		{ "ipv4/tcp_orphan_retries", "100" }, /* bad luck is no verdict */
		{ "ipv4/tcp_retries2", "100" },
		{ "ipv4/tcp_rfc1337", "1" }, /* a FIN that comes twice ends no TIME_WAIT */
	};
	bool set[sizeof(quick) / sizeof(quick[0])] = { false };
	struct err unused;

	if (loss && !json_is_true(loss))
		lab->wire.loss = 0;
	lab->run->loss = (uint8_t)lab->wire.loss;
	for (int side = 0; side < 2 && lab->wire.loss; side++)
		for (size_t i = 0; i < sizeof(quick) / sizeof(quick[0]); i++)
			set[i] = net_sysctl(&lab->net, side, quick[i].name, quick[i].value,
					    &unused) == 0;
	for (size_t i = 0; i < sizeof(set); i++) {
		struct tl_event *v = set[i] ? record_event(&lab->rec, TL_STEP, TL_NOBODY,
							   TL_NO_CONN)
					    : NULL;

		if (v)
			snprintf(v->text, sizeof(v->text), "Both kernels have %s set to %s.",
				 strrchr(quick[i].name, '/') + 1, quick[i].value);
	}
}

/* Reads which conclusions the scenario bears on. Returns false with the answer's error set. */
static bool read_conclusions(struct tl_run *run, const json_t *list, struct answer *a)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *name = json_string_value(json_array_get(list, i));
		size_t which = 0;

		while (which < TL_CONCLUSIONS && strcmp(tl_conclusions[which], name) != 0)
			which++;
		if (which == TL_CONCLUSIONS) {
			op_error(a, "no conclusion '%s'; they are %s and %s", name,
				 tl_conclusions[0], tl_conclusions[1]);
			return false;
		}
		snprintf(run->conclusion[which], sizeof(run->conclusion[which]), "%s", name);
	}
	return true;
}

static enum op_result begin_scenario(struct lab *lab, struct pending *p, struct answer *a)
{
	struct tl_run *run = lab->run;

	if (run->title[0])
		return op_error(a, "scenario is given twice");
	arg_text(p, "title", run->title, sizeof(run->title));
	arg_text(p, "source", run->source, sizeof(run->source));
	arg_text(p, "rfc", run->rfc, sizeof(run->rfc));
	arg_text(p, "shows", run->shows, sizeof(run->shows));
	if (!run->title[0])
		return op_error(a, "a scenario needs a title");
	if (run->rfc[0] && !rfc9293_has(run->rfc))
		return op_error(a, "RFC 9293 has no section '%s'", run->rfc);
	if (!read_conclusions(run, json_object_get(p->args, "proves"), a))
		return OP_ERROR;
	set_loss(lab, p);
	if (lab->options->describe) {
		record_finish(&lab->rec, TL_PASSED, "");
		return OP_STOP;
	}
	return OP_OK;
}

static void add_text(char *buf, size_t cap, const char *separator, const char *text)
{
	size_t n = strlen(buf);

	snprintf(buf + n, cap - n, "%s%s", n ? separator : "", text);
}

/* Reads the set of states that an expectation names. */
static bool read_states(struct pending *p, const char *key, uint32_t *set, struct answer *a)
{
	const json_t *list = json_object_get(p->args, key);

	*set = 0;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *name = json_string_value(json_array_get(list, i));
		int state = name ? tcp_state_parse(name) : -1;

		if (state < 0) {
			op_error(a,
				 "'%s' is no TCP state; they are ESTABLISHED, SYN_SENT, SYN_RECV, "
				 "FIN_WAIT_1, FIN_WAIT_2, TIME_WAIT, CLOSED, CLOSE_WAIT, LAST_ACK, "
				 "LISTEN, CLOSING, and gone",
				 name ? name : "?");
			return false;
		}
		*set |= TCP_BIT(state);
	}
	if (!*set)
		op_error(a, "expect needs a state, as in expect(server, \"CLOSE_WAIT\")");
	return *set != 0;
}

static void states_text(uint32_t set, char *buf, size_t cap)
{
	buf[0] = '\0';
	for (unsigned s = 0; s < TCPS_NEW_SYN_RECV; s++)
		if (set & TCP_BIT(s))
			add_text(buf, cap, " or ", tcp_state_name(s));
}

/* Further properties that an expectation may name, each with its value in the sample. */
struct property {
	const char *name;
	bool is_flag;
	int64_t (*value)(const struct lab *lab, uint16_t conn, enum tl_side side,
			 const struct tcp_sample *s);
};

static int64_t get_orphan(const struct lab *lab, uint16_t conn, enum tl_side side,
			  const struct tcp_sample *s)
{
	return tl_state_of(s).orphan;
}

static int64_t get_told(const struct lab *lab, uint16_t conn, enum tl_side side,
			const struct tcp_sample *s)
{
	return lab->rec.told[conn][side];
}

static int64_t get_recv_q(const struct lab *lab, uint16_t conn, enum tl_side side,
			  const struct tcp_sample *s)
{
	return s->recv_q;
}

static int64_t get_send_q(const struct lab *lab, uint16_t conn, enum tl_side side,
			  const struct tcp_sample *s)
{
	return s->send_q;
}

static int64_t get_timer(const struct lab *lab, uint16_t conn, enum tl_side side,
			 const struct tcp_sample *s)
{
	return s->timer != TCP_TIMER_NONE;
}

static int64_t get_retransmits(const struct lab *lab, uint16_t conn, enum tl_side side,
			       const struct tcp_sample *s)
{
	return s->retransmits;
}

static const struct property properties[] = {
	{ "orphan", true, get_orphan },  { "told", true, get_told },
	{ "timer", true, get_timer },    { "recv_q", false, get_recv_q },
	{ "send_q", false, get_send_q }, { "retransmits", false, get_retransmits },
	{ NULL, false, NULL },
};

/* Adds "orphan", "not orphan", "recv_q 1". */
static void property_text(char *buf, size_t cap, const struct property *row, int64_t value)
{
	char text[40];

	if (row->is_flag)
		snprintf(text, sizeof(text), "%s%s", value ? "" : "not ", row->name);
	else
		snprintf(text, sizeof(text), "%s %lld", row->name, (long long)value);
	add_text(buf, cap, ", ", text);
}

static int64_t wanted_value(const struct pending *p, const struct property *row)
{
	return row->is_flag ? arg_true(p, row->name) : arg_int(p, row->name, -1);
}

static void wanted_text(const struct pending *p, char *buf, size_t cap)
{
	states_text(p->states, buf, cap);
	for (const struct property *row = properties; row->name; row++)
		if (arg_given(p, row->name))
			property_text(buf, cap, row, wanted_value(p, row));
}

/* Looks at the end in question: whether it is as expected, and in words. */
static enum op_result look(struct lab *lab, struct pending *p, char *seen, size_t cap)
{
	enum tl_side side = arg_side(p);
	uint16_t conn = arg_conn(lab, p);
	struct tcp_sample s = { 0 };
	struct err e = { 0 };
	bool as_wanted;

	if (conn == TL_NO_CONN) {
		snprintf(seen, cap, "no connection so far");
		return OP_WAIT;
	}
	if (record_sample(&lab->rec, conn, side, &s, &e) < 0)
		return op_broken(lab, p, "%s", e.text);
	snprintf(seen, cap, "%s", tcp_state_name(s.state));
	as_wanted = p->states & TCP_BIT(s.state);
	for (const struct property *row = properties; row->name; row++) {
		int64_t value;

		if (!arg_given(p, row->name))
			continue;
		value = row->value(lab, conn, side, &s);
		property_text(seen, cap, row, value);
		as_wanted &= value == wanted_value(p, row);
	}
	if (!as_wanted)
		return OP_WAIT;
	if (record_changes(&lab->rec, conn, &e) < 0)
		return op_broken(lab, p, "%s", e.text);
	return OP_OK;
}

static enum op_result poll_expect(struct lab *lab, struct pending *p, struct answer *a)
{
	char seen[96], wanted[96];
	enum op_result r = look(lab, p, seen, sizeof(seen));

	if (r != OP_OK)
		return r;
	wanted_text(p, wanted, sizeof(wanted));
	return lab_expect(lab, p, arg_side(p), true, wanted, seen);
}

static enum op_result late_expect(struct lab *lab, struct pending *p, struct answer *a)
{
	char seen[96], wanted[96];
	enum op_result r = look(lab, p, seen, sizeof(seen));

	if (r == OP_STOP)
		return r;
	wanted_text(p, wanted, sizeof(wanted));
	return lab_expect(lab, p, arg_side(p), r == OP_OK, wanted, seen);
}

static enum op_result begin_expect(struct lab *lab, struct pending *p, struct answer *a)
{
	if (!read_states(p, "states", &p->states, a))
		return OP_ERROR;
	return poll_expect(lab, p, a);
}

/* The states that an end went through, each once in a row, are found in order, with others between.
 */
static enum op_result begin_expect_path(struct lab *lab, struct pending *p, struct answer *a)
{
	const json_t *list = json_object_get(p->args, "states");
	enum tl_side side = arg_side(p);
	uint16_t conn = arg_conn(lab, p);
	const struct tl_run *run = lab->run;
	char wanted[96] = "", seen[96] = "";
	size_t found = 0;
	int last = -1;

	if (!read_states(p, "states", &p->states, a))
		return OP_ERROR;
	/* States that pass within microseconds are not seen without the wire; and what is lost
	 * changes the path, as when an ACK and a FIN come together. */
	if (lab->net.loopback || lab->wire.loss)
		return OP_OK;
	for (size_t i = 0; i < json_array_size(list); i++)
		add_text(wanted, sizeof(wanted), ", ", json_string_value(json_array_get(list, i)));
	for (uint32_t i = 0; i < run->nevents; i++) {
		const struct tl_event *v = &run->events[i];

		for (int half = 0; half < 2; half++) {
			int state = half ? v->after[side].state : v->before[side].state;

			if (v->conn != conn || v->kind == TL_STEP || state == last)
				continue;
			last = state;
			add_text(seen, sizeof(seen), ", ", tcp_state_name((unsigned)state));
			if (found < json_array_size(list) &&
			    tcp_state_parse(json_string_value(json_array_get(list, found))) ==
				    state)
				found++;
		}
	}
	return lab_expect(lab, p, side, found == json_array_size(list), wanted, seen);
}

static enum op_result begin_sample(struct lab *lab, struct pending *p, struct answer *a)
{
	enum tl_side side = arg_side(p);
	uint16_t conn = arg_conn(lab, p);
	struct tcp_sample s = { 0 };
	struct err e = { 0 };
	json_t *o;

	if (conn == TL_NO_CONN)
		return op_error(a, "there is no connection to look at so far");
	if (record_sample(&lab->rec, conn, side, &s, &e) < 0 ||
	    record_changes(&lab->rec, conn, &e) < 0)
		return op_broken(lab, p, "%s", e.text);
	o = json_object();
	json_object_set_new(o, "state", json_string(tcp_state_name(s.state)));
	json_object_set_new(o, "timer_ms", json_integer(s.timer_ms));
	json_object_set_new(o, "rto_ms", json_integer(s.rto_ms));
	json_object_set_new(o, "window", json_integer(s.snd_wnd));
	for (const struct property *row = properties; row->name; row++) {
		int64_t value = row->value(lab, conn, side, &s);

		json_object_set_new(o, row->name,
				    row->is_flag ? json_boolean(value) : json_integer(value));
	}
	return op_ok(a, o);
}

static enum op_result begin_check(struct lab *lab, struct pending *p, struct answer *a)
{
	char text[96];
	bool passed = arg_true(p, "passed");

	arg_text(p, "text", text, sizeof(text));
	if (!text[0])
		return op_error(a, "check needs a text that says what is checked");
	return lab_expect(lab, p, TL_NOBODY, passed, text, passed ? text : "not so");
}

/* A step and an observation stand behind what led to them, not in its midst: the actors are first
 * let finish. Whoever never sleeps is not waited for. */
static bool settles(struct lab *lab, struct pending *p)
{
	int64_t now = clock_mono_ns();

	if (!p->since_ns)
		p->since_ns = now;
	return lab_is_settled(lab) || now - p->since_ns > LAB_SETTLE_NS;
}

static enum op_result poll_observe(struct lab *lab, struct pending *p, struct answer *a)
{
	uint16_t conn = arg_conn(lab, p);
	char title[96];

	if (conn == TL_NO_CONN)
		return op_error(a, "there is no connection to observe so far");
	if (!settles(lab, p))
		return OP_WAIT;
	lab_observe(lab, conn, arg_text(p, "title", title, sizeof(title)), true);
	return OP_OK;
}

static enum op_result poll_step(struct lab *lab, struct pending *p, struct answer *a)
{
	struct tl_event *v;

	if (!settles(lab, p))
		return OP_WAIT;
	v = record_event(&lab->rec, TL_STEP, TL_NOBODY, TL_NO_CONN);
	if (v)
		arg_text(p, "text", v->text, sizeof(v->text));
	return OP_OK;
}

const struct op ops_expect[] = {
	{ "scenario", begin_scenario, NULL, NULL },
	{ "expect", begin_expect, poll_expect, late_expect },
	{ "expect_path", begin_expect_path, NULL, NULL },
	{ "sample", begin_sample, NULL, NULL },
	{ "check", begin_check, NULL, NULL },
	{ "observe", poll_observe, poll_observe, NULL },
	{ "step", poll_step, poll_step, NULL },
	{ NULL, NULL, NULL, NULL },
};
