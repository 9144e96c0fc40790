/* SPDX-License-Identifier: MIT */
/* What the wire does to packets, on the script's order. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "lab/forge.h"
#include "lab/lab.h"

/* Reads flags as in "FIN ACK" or "SYN,ACK". Returns false with the answer's error set. */
static bool read_flags(struct pending *p, const char *key, uint8_t *flags, struct answer *a)
{
	static const struct {
		const char *name;
		uint8_t bit;
	} rows[] = {
		{ "FIN", TL_FIN }, { "SYN", TL_SYN }, { "RST", TL_RST }, { "PSH", TL_PSH },
		{ "ACK", TL_ACK }, { "URG", TL_URG }, { "ECE", TL_ECE }, { "CWR", TL_CWR },
	};
	char text[64], *save = NULL;

	*flags = 0;
	arg_text(p, key, text, sizeof(text));
	for (char *word = strtok_r(text, " ,|", &save); word; word = strtok_r(NULL, " ,|", &save)) {
		size_t i = 0;

		while (i < 8 && strcmp(rows[i].name, word) != 0)
			i++;
		if (i == 8) {
			op_error(a,
				 "'%s' is no TCP flag; they are FIN, SYN, RST, PSH, ACK, URG, ECE "
				 "and CWR, as in \"FIN ACK\"",
				 word);
			return false;
		}
		*flags |= rows[i].bit;
	}
	return true;
}

static int read_action(struct pending *p)
{
	static const char *const names[] = { "drop",      "hold",  "delay",
					     "duplicate", "watch", "reorder" };
	char text[16];

	arg_text(p, "action", text, sizeof(text));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(names[i], text))
			return (int)i;
	return -1;
}

static enum op_result begin_rule(struct lab *lab, struct pending *p, struct answer *a)
{
	struct wire_rule rule = { .from = (uint8_t)arg_int(p, "from", TL_NOBODY) };
	int action = read_action(p), number;
	char text[32];
	int64_t ns = 0;

	if (lab->net.loopback)
		return op_broken(lab, p, "loopback has no wire that could fail");
	if (action < 0)
		return op_error(a, "no such action on the wire");
	if (!read_flags(p, "flags", &rule.flags_set, a) ||
	    !read_flags(p, "without", &rule.flags_clear, a))
		return OP_ERROR;
	if (action == WIRE_DELAY && num_duration(arg_text(p, "by", text, sizeof(text)), &ns) < 0)
		return op_error(a, "a delay needs 'by', as in { by = \"20ms\" }");
	rule.action = (uint8_t)action;
	rule.delay_us = ns / 1000;
	rule.only_data = arg_given(p, "data") && arg_true(p, "data");
	rule.only_empty = arg_given(p, "data") && !arg_true(p, "data");
	rule.length = (int32_t)arg_int(p, "length", -1);
	rule.skip = (uint32_t)(arg_int(p, "nth", 1) - 1);
	rule.times = (uint32_t)arg_int(p, "times", arg_given(p, "nth") ? 1 : 0);
	rule.percent = (uint32_t)arg_int(p, "percent", 0);
	number = wire_add_rule(&lab->wire, &rule);
	if (number < 0)
		return op_error(a, "the wire has room for %d rules", WIRE_MAX_RULES);
	return op_ok(a, json_integer(number));
}

static enum op_result begin_stop(struct lab *lab, struct pending *p, struct answer *a)
{
	wire_end_rule(&lab->wire, (int)arg_int(p, "rule", -1));
	return OP_OK;
}

static enum op_result poll_caught(struct lab *lab, struct pending *p, struct answer *a)
{
	int64_t chosen = wire_rule_chosen(&lab->wire, (int)arg_int(p, "rule", -1));

	if (chosen < 0)
		return op_error(a, "there is no such rule on the wire");
	return chosen >= arg_int(p, "count", 1) ? OP_OK : OP_WAIT;
}

static enum op_result late_caught(struct lab *lab, struct pending *p, struct answer *a)
{
	return op_broken(lab, p, "no packet came that the rule on the wire is for");
}

static enum op_result begin_release(struct lab *lab, struct pending *p, struct answer *a)
{
	int64_t rule = arg_int(p, "rule", WIRE_MAX_RULES);
	struct err e = { 0 };
	int n;

	if (rule < 0 || rule > WIRE_MAX_RULES)
		return op_error(a, "there is no such rule on the wire");
	wire_end_rule(&lab->wire, (int)rule);
	n = wire_release(&lab->wire, arg_true(p, "reverse"), &e);

	if (n < 0)
		return op_broken(lab, p, "%s", e.text);
	lab->carried += (uint64_t)n;
	return op_ok(a, json_integer(n));
}

static enum op_result begin_cut(struct lab *lab, struct pending *p, struct answer *a)
{
	lab->wire.cut = arg_true(p, "cut");
	return OP_OK;
}

/* wire.quiet: no packet has passed and no call has returned for `lasting` (20 ms), and nobody is
 * about to do something: whoever does not sleep is waited for as long as a step waits
 * (LAB_SETTLE_NS). */
static enum op_result poll_quiet(struct lab *lab, struct pending *p, struct answer *a)
{
	int64_t ns = 20 * CLOCK_NS_PER_MS, now = clock_mono_ns();
	uint64_t activity = lab->carried + lab->run->nevents;
	char text[32];

	if (arg_given(p, "lasting"))
		num_duration(arg_text(p, "lasting", text, sizeof(text)), &ns);
	if (p->since_ns == 0 || p->packets != activity) {
		p->packets = activity;
		p->since_ns = now;
	}
	if (now - p->since_ns < ns)
		return OP_WAIT;
	return lab_is_settled(lab) || now - p->since_ns > ns + LAB_SETTLE_NS ? OP_OK : OP_WAIT;
}

static enum op_result begin_inject(struct lab *lab, struct pending *p, struct answer *a)
{
	uint16_t conn = arg_conn(lab, p);
	enum tl_side to = arg_side(p);
	int64_t length = arg_int(p, "length", 0);
	struct err e = { 0 };
	uint8_t flags;

	if (length < 0 || length > FORGE_DATA_MAX)
		return op_error(a, "a made-up packet has at most %d bytes of data", FORGE_DATA_MAX);
	if (lab->net.loopback)
		return op_broken(lab, p, "loopback has no wire to put a packet on");
	if (conn == TL_NO_CONN)
		return op_error(a, "there is no connection to make a packet for so far");
	if (!read_flags(p, "flags", &flags, a))
		return OP_ERROR;
	/* In place by default: what the other end would send next, acknowledging all it has seen.
	 */
	if (wire_inject(&lab->wire, conn, to, flags,
			(uint32_t)arg_int(p, "seq", lab->rec.seq_end[conn][!to]),
			(uint32_t)arg_int(p, "ack", lab->rec.seq_end[conn][to]), (uint16_t)length,
			&e) < 0)
		return op_broken(lab, p, "%s", e.text);
	return OP_OK;
}

/* Whether the host itself sent it there: what was held is in the record again where it is released,
 * and a copy and a packet from nobody are the wire's. */
static bool was_sent(const struct tl_packet *p)
{
	return p->fate != TL_RELEASED && p->fate != TL_DUPLICATED && p->fate != TL_INJECTED;
}

/* expect_packet(from, { flags = ..., length = ..., count = ... }): how many such packets the host
 * has sent. */
struct wanted_packets {
	uint8_t set, clear;
	int64_t least, length; /* -1: not said */
	int64_t count;         /* found */
};

static bool count_packets(struct lab *lab, struct pending *p, struct wanted_packets *w,
			  struct answer *a)
{
	uint16_t conn = arg_conn(lab, p);

	*w = (struct wanted_packets){ .least = arg_int(p, "count", -1),
				      .length = arg_int(p, "length", -1) };
	if (!read_flags(p, "flags", &w->set, a) || !read_flags(p, "without", &w->clear, a))
		return false;
	for (uint32_t i = 0; i < lab->run->nevents; i++) {
		const struct tl_event *v = &lab->run->events[i];

		if (v->kind == TL_PACKET && v->from == arg_side(p) && was_sent(&v->packet) &&
		    (v->conn == conn || !arg_given(p, "connection")) &&
		    (v->packet.flags & w->set) == w->set && !(v->packet.flags & w->clear) &&
		    (w->length < 0 || v->packet.len == w->length) &&
		    (!arg_given(p, "retransmission") ||
		     v->packet.retransmission == arg_true(p, "retransmission")))
			w->count++;
	}
	if (lab->wire.loss && w->least > 0) /* chance adds retransmissions */
		w->least = -1;
	return true;
}

static enum op_result judge_packets(struct lab *lab, struct pending *p,
				    const struct wanted_packets *w)
{
	char wanted[96], seen[96], flags_text[TL_FLAGS_TEXT];

	snprintf(wanted, sizeof(wanted), "%s sent %s%s", arg_side(p) ? "server" : "client",
		 tl_flags_text(w->set, flags_text), w->length < 0 ? "" : " of that length");
	if (arg_given(p, "count"))
		snprintf(wanted + strlen(wanted), sizeof(wanted) - strlen(wanted), ", %lld time%s",
			 (long long)arg_int(p, "count", -1),
			 arg_int(p, "count", -1) == 1 ? "" : "s");
	snprintf(seen, sizeof(seen), "%lld such packets", (long long)w->count);
	return lab_expect(lab, p, TL_NOBODY, w->least < 0 ? w->count > 0 : w->count == w->least,
			  wanted, seen);
}

/* What is still to come is waited for. */
static enum op_result poll_expect_packet(struct lab *lab, struct pending *p, struct answer *a)
{
	struct wanted_packets w;

	if (!count_packets(lab, p, &w, a))
		return OP_ERROR;
	if (w.count < (w.least < 0 ? 1 : w.least))
		return OP_WAIT;
	return judge_packets(lab, p, &w);
}

static enum op_result late_expect_packet(struct lab *lab, struct pending *p, struct answer *a)
{
	struct wanted_packets w;

	return count_packets(lab, p, &w, a) ? judge_packets(lab, p, &w) : OP_ERROR;
}

const struct op ops_wire[] = {
	{ "wire_rule", begin_rule, NULL, NULL },
	{ "wire_stop", begin_stop, NULL, NULL },
	{ "wire_caught", poll_caught, poll_caught, late_caught },
	{ "wire_release", begin_release, NULL, NULL },
	{ "wire_cut", begin_cut, NULL, NULL },
	{ "wire_quiet", poll_quiet, poll_quiet, NULL },
	{ "wire_inject", begin_inject, NULL, NULL },
	{ "expect_packet", poll_expect_packet, poll_expect_packet, late_expect_packet },
	{ NULL, NULL, NULL, NULL },
};
