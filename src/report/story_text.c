/* SPDX-License-Identifier: MIT */
/* The words of the rows, the same in every output. */
#include "report/story.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "tcp/explain.h"

void story_field(struct buf *out, const char *field, size_t cap, bool utf8)
{
	text_escape(out, field, strnlen(field, cap), utf8);
}

const char *story_side_name(unsigned side)
{
	static const char *const names[] = { "client", "server", "nobody" };

	return names[side < 3 ? side : TL_NOBODY];
}

void story_packet_text(struct buf *out, const struct tl_packet *p, bool fields)
{
	char flags[TL_FLAGS_TEXT];

	tl_flags_text(p->flags, flags);
	buf_str(out, *flags ? flags : "no flags");
	if (p->len)
		buf_printf(out, ", %u byte%s", p->len, p->len == 1 ? "" : "s");
	if (!fields)
		return;
	buf_printf(out, "  seq %" PRIu32, p->seq);
	if (p->flags & TL_ACK)
		buf_printf(out, " ack %" PRIu32, p->ack);
	buf_printf(out, " win %" PRIu32, p->window);
}

static bool is_named(const struct tl_call *c, const char *name)
{
	return !strncmp(c->name, name, sizeof(c->name));
}

static void add_result(struct buf *out, const struct tl_call *c)
{
	if (c->result < 0) {
		const char *name = strerrorname_np((int)-c->result);

		buf_printf(out, ": %s", name ? name : "failed");
	} else if (!c->detail[0] && is_named(c, "exit")) {
		buf_printf(out, " %" PRId64, c->result);
	} else if (!c->detail[0] && c->result > 0 &&
		   (is_named(c, "read") || is_named(c, "write"))) {
		buf_printf(out, " %" PRId64 " byte%s", c->result, c->result == 1 ? "" : "s");
	}
}

void story_call_text(struct buf *out, const struct tl_call *c, bool utf8)
{
	story_field(out, c->name, sizeof(c->name), utf8);
	if (c->detail[0]) { /* what it was given, or what it came to */
		bool outcome = !strncmp(c->detail, "end of ", 7) ||
			       !strcmp(c->detail, "in progress");

		buf_str(out, outcome ? ": " : " ");
		story_field(out, c->detail, sizeof(c->detail), utf8);
	}
	if (!c->returned)
		buf_str(out, utf8 ? " \u2026" : " ...");
	else
		add_result(out, c);
}

void story_row_call_text(struct buf *out, const struct tl_run *run, const struct story_row *row,
			 bool utf8)
{
	const struct tl_call *c = &run->events[row->event].call;
	const struct tl_call *head = story_actor(run, row->from);

	if (head && head->pid != c->pid) {
		story_field(out, c->comm, sizeof(c->comm), utf8);
		if (!strncmp(head->comm, c->comm, sizeof(c->comm)))
			buf_printf(out, "[%" PRId32 "]", c->pid);
		buf_str(out, ": ");
	}
	story_call_text(out, c, utf8);
}

static void add_bytes(struct buf *out, const struct story_row *row)
{
	for (unsigned side = 0; side < 2; side++)
		if (row->bytes[side])
			buf_printf(out, ", %" PRIu64 " bytes to the %s", row->bytes[side],
				   story_side_name(!side));
}

void story_fold_text(struct buf *out, const struct tl_run *run, const struct story_row *row)
{
	uint32_t packets = row->count - row->ncalls;
	const struct tl_event *v = &run->events[row->event];

	if (row->conn == TL_NO_CONN) {
		buf_printf(out, "%" PRIu32 " event%s of other connections", row->count,
			   row->count == 1 ? "" : "s");
		return;
	}
	if (packets)
		buf_printf(out, "%" PRIu32 " more packet%s", packets, packets == 1 ? "" : "s");
	if (packets && v->kind == TL_PACKET && v->packet.fate != TL_DELIVERED)
		buf_printf(out, ", %s", story_fate_text(&v->packet));
	if (row->ncalls)
		buf_printf(out, "%s%" PRIu32 " more call%s", packets ? " and " : "", row->ncalls,
			   row->ncalls == 1 ? "" : "s");
	add_bytes(out, row);
}

const char *story_fate_text(const struct tl_packet *p)
{
	static const char *const words[] = {
		[TL_DELIVERED] = "",        [TL_DROPPED] = "lost",
		[TL_HELD] = "held",         [TL_RELEASED] = "released",
		[TL_DUPLICATED] = "a copy", [TL_INJECTED] = "from nobody",
	};

	return p->fate < sizeof(words) / sizeof(words[0]) ? words[p->fate] : "?";
}

void story_expect_text(struct buf *out, const struct tl_expect *x, bool utf8)
{
	if (x->side < TL_NOBODY)
		buf_printf(out, "%s%s", story_side_name(x->side), x->passed ? " " : ": ");
	if (!x->passed)
		buf_str(out, "wanted ");
	story_field(out, x->wanted, sizeof(x->wanted), utf8);
	while (out->len && out->data[out->len - 1] == ' ')
		out->data[--out->len] = '\0';
	if (x->passed)
		return;
	buf_str(out, ", saw ");
	if (x->seen[0])
		story_field(out, x->seen, sizeof(x->seen), utf8);
	else
		buf_str(out, "nothing of it");
}

const struct tl_call *story_actor(const struct tl_run *run, unsigned side)
{
	for (uint32_t i = 0; i < run->nevents; i++)
		if (run->events[i].kind == TL_CALL && run->events[i].from == side)
			return &run->events[i].call;
	return NULL;
}

const struct tl_observation *story_main(const struct tl_run *run)
{
	if (run->main_observation < run->nobservations)
		return &run->observations[run->main_observation];
	return NULL;
}

const struct tl_observation *story_final(const struct tl_run *run)
{
	return run->nobservations ? &run->observations[run->nobservations - 1] : NULL;
}

const struct tl_conn *story_conn(const struct tl_run *run)
{
	const struct tl_observation *seen = story_main(run);

	if (seen && seen->conn < run->nconns)
		return &run->conns[seen->conn];
	return run->nconns ? &run->conns[0] : NULL;
}

char *story_time_text(int64_t t_us, char buf[STORY_TIME_TEXT])
{
	if (t_us < 1000000)
		snprintf(buf, STORY_TIME_TEXT, "%.1f", (double)t_us / 1000);
	else if (t_us < 100000000)
		snprintf(buf, STORY_TIME_TEXT, "%.1fs", (double)t_us / 1000000);
	else
		snprintf(buf, STORY_TIME_TEXT, "%.0fs", (double)t_us / 1000000);
	return buf;
}

void story_conn_text(struct buf *out, const struct tl_run *run, const struct story_row *row)
{
	char client[TCP_ADDR_TEXT];

	buf_printf(out, "connection %u, client %s", row->conn + 1u,
		   tcp_addr_text(&run->conns[row->conn].addr[TL_CLIENT], client));
}

const char *story_change_text(const struct tl_run *run, const struct story_row *row)
{
	const struct tl_event *v = &run->events[row->event];
	const char *why = "";

	if (run->loopback || v->kind != TL_STATE) /* on loopback, packets are not seen */
		return "";
	for (unsigned side = 0; side < 2; side++) {
		uint8_t now = row->state[side];

		if (row->changed[side] && (now == TCPS_FIN_WAIT1 || now == TCPS_LAST_ACK))
			why = "kernel";
		else if (row->changed[side] && (now == TCPS_GONE || now == TCPS_CLOSE))
			why = "timer";
	}
	return why;
}

static void say_packet(struct buf *out, const struct tl_event *v, const struct story_row *row)
{
	buf_printf(out, "packet from the %s to the %s: ",
		   v->packet.fate == TL_INJECTED ? "scenario" : story_side_name(row->from),
		   story_side_name(row->to));
	story_packet_text(out, &v->packet, false);
	if (v->packet.retransmission)
		buf_str(out, ", sent again");
	if (v->packet.fate != TL_DELIVERED && v->packet.fate != TL_INJECTED)
		buf_printf(out, ", %s", story_fate_text(&v->packet));
	buf_str(out, ".");
}

static void say_observation(struct buf *out, const struct tl_run *run, const struct tl_event *v)
{
	const struct tl_observation *seen;

	if (v->observation >= run->nobservations)
		return;
	seen = &run->observations[v->observation];
	for (unsigned side = 0; side < 2; side++) {
		explain_observed(out, seen, side, true);
		buf_str(out, side ? "" : " ");
	}
}

static void say_event(struct buf *out, const struct tl_run *run, const struct story_row *row)
{
	const struct tl_event *v = &run->events[row->event];

	switch (row->kind) {
	case STORY_PACKET:
		say_packet(out, v, row);
		break;
	case STORY_CALL:
		buf_printf(out, "the %s %s ", story_side_name(row->from),
			   is_named(&v->call, "killed") ? "is" : "calls");
		story_row_call_text(out, run, row, true);
		buf_str(out, ".");
		break;
	case STORY_STATE:
		if (*story_change_text(run, row))
			buf_printf(out, "the %s.", story_change_text(run, row));
		else
			buf_str(out, v->kind == TL_STATE ? "since then." : "before that.");
		break;
	case STORY_STEP:
		story_field(out, v->text, sizeof(v->text), true);
		if (out->len && !strchr(".!?", out->data[out->len - 1]))
			buf_str(out, ".");
		break;
	case STORY_CONN:
		story_conn_text(out, run, row);
		buf_str(out, ".");
		break;
	case STORY_FOLD:
		story_fold_text(out, run, row);
		buf_str(out, ".");
		break;
	case STORY_OBSERVE:
		say_observation(out, run, v);
		break;
	default:
		break;
	}
}

void story_row_text(struct buf *out, const struct tl_run *run, const struct story_row *row)
{
	char time[STORY_TIME_TEXT];

	story_time_text(row->t_us, time);
	buf_printf(out, "%s%s: ", time, strchr(time, 's') ? "" : " ms");
	if (row->kind != STORY_EXPECT)
		say_event(out, run, row);
	for (uint32_t i = 0; i < row->nexpects; i++) {
		const struct tl_expect *x = &run->expects[row->first_expect + i];

		buf_str(out, x->passed ? " As expected: " : " Not as expected: ");
		story_expect_text(out, x, true);
		buf_str(out, ".");
	}
	for (unsigned side = 0; side < 2; side++)
		if (row->changed[side])
			buf_printf(out, " The %s is now %s%s.", story_side_name(side),
				   row->state[side] == TCPS_GONE ? "" : "in ",
				   tcp_state_name(row->state[side]));
}
