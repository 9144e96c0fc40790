/* SPDX-License-Identifier: MIT */
#include "report/release.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "base/text.h"
#include "report/json_line.h"
#include "report/list.h"

/* Text from anybody, made valid UTF-8 that a terminal is safe from. */
static json_t *safe_string(const char *s)
{
	_buf_ struct buf safe = { 0 };

	text_escape(&safe, s, strlen(s), true);
	return json_string(safe.data ? safe.data : "");
}

static json_t *socket_object(const struct census *c, const struct release_item *item,
			     uint64_t older_ms)
{
	_buf_ struct buf line = { 0 };

	list_json_socket(&line, c, &c->sockets[item->socket], older_ms);
	return line.failed ? NULL : json_loadb(line.data, line.len, 0, NULL);
}

static json_t *time_string(const struct timespec *now)
{
	char day[32], text[64];
	struct tm tm;

	gmtime_r(&now->tv_sec, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s.%06ldZ", day, now->tv_nsec / 1000);
	return json_string(text);
}

static json_t *words(int argc, char *const *argv)
{
	json_t *list = json_array();

	for (int i = 0; i < argc; i++)
		json_array_append_new(list, safe_string(argv[i]));
	return list;
}

static json_t *end_object(const struct release_end *end, bool looked)
{
	json_t *o = json_object();

	json_object_set_new(o, "before", json_string(tcp_state_name(end->before)));
	if (looked)
		json_object_set_new(o, "after", json_string(tcp_state_name(end->after)));
	return o;
}

/* What is known of the deed by now. */
static void add_deed(json_t *o, const struct release_item *item)
{
	if (item->refusal != RELEASE_QUALIFIES)
		json_object_set_new(o, "refusal", json_string(release_refusal_name(item->refusal)));
	if (item->refusal != RELEASE_QUALIFIES && item->pid)
		json_object_set_new(o, "refused_for_pid", json_integer(item->pid));
	if (item->result != RELEASE_NOT_TRIED)
		json_object_set_new(o, "result", json_string(release_result_name(item->result)));
	if (item->result != RELEASE_NOT_TRIED && item->fd >= 0)
		json_object_set_new(o, "copied_from",
				    json_pack("{s:i,s:i}", "pid", item->pid, "fd", item->fd));
	if (item->error[0])
		json_object_set_new(o, "error", safe_string(item->error));
	if (item->looked && item->own.known)
		json_object_set_new(o, "own", end_object(&item->own, true));
	if (item->peer.known)
		json_object_set_new(o, "peer", end_object(&item->peer, item->looked));
}

int release_json(struct buf *out, const struct census *c, const struct release_item *item,
		 const char *phase, const struct release_who *who, const struct timespec *now)
{
	json_t *o = json_pack("{s:i,s:o,s:s,s:s,s:i,s:i,s:o,s:o}", "schema", RELEASE_SCHEMA, "time",
			      time_string(now), "phase", phase, "method",
			      release_method_name(who->method), "uid", (int)who->uid, "pid",
			      (int)who->pid, "command", words(who->argc, who->argv), "socket",
			      socket_object(c, item, who->older_ms));

	if (o)
		add_deed(o, item);
	return json_line(out, o);
}

static void add_ends(struct buf *out, const struct census_socket *s)
{
	char local[TCP_ADDR_TEXT], peer[TCP_ADDR_TEXT];

	buf_printf(out, "%s %s", tcp_addr_text(&s->s.local, local),
		   tcp_addr_text(&s->s.peer, peer));
}

static void add_state(struct buf *out, const struct report_style *style, unsigned state)
{
	style_paint(out, style, style_state_paint(state), tcp_state_name(state));
}

static void add_age(struct buf *out, const struct tcp_verdict *v)
{
	char text[32];

	if (v->age_is == TCP_AGE_UNKNOWN)
		buf_str(out, " for an unknown time");
	else
		buf_printf(out, " for %s%s", v->age_is == TCP_AGE_AT_LEAST ? "at least " : "",
			   num_duration_text((int64_t)v->age_ms * CLOCK_NS_PER_MS, text,
					     sizeof(text)));
}

static void add_process(struct buf *out, const struct census *c, uint32_t proc,
			const struct report_style *style)
{
	const char *comm = c->procs[proc].comm;

	text_escape(out, comm, strlen(comm), style->utf8);
	buf_printf(out, "[%" PRIu32 "]", c->procs[proc].pid);
}

static void add_holders(struct buf *out, const struct census *c, const struct census_socket *s,
			const struct report_style *style)
{
	if (!s->held.n)
		buf_str(out, ", held by nobody seen");
	for (uint32_t i = 0; i < s->held.n; i++) {
		const struct census_holder *h = &c->holders[s->held.first + i];

		buf_str(out, i ? ", " : ", held by ");
		add_process(out, c, h->proc, style);
		buf_printf(out, " fd %" PRId32, h->fd);
	}
}

static void add_evidence(struct buf *out, const struct census *c, const struct census_socket *s)
{
	struct tcp_context context = census_context(c, s);
	struct tcp_evidence e[TCP_EVIDENCE_MAX];
	size_t n = tcp_evidence(&s->s, &s->v, &context, e);

	for (size_t i = 0; i < n; i++)
		buf_printf(out, "%s %s %" PRId64, i ? "," : ":", e[i].name, e[i].value);
}

void release_text_plan(struct buf *out, const struct census *c, const struct release_item *item,
		       enum release_method method, const struct report_style *style)
{
	const struct census_socket *s = &c->sockets[item->socket];
	bool refused = item->refusal != RELEASE_QUALIFIES;

	style_paint(out, style, refused ? PAINT_DIM : PAINT_BOLD,
		    refused                   ? "refused  "
		    : method == RELEASE_RESET ? "reset    "
					      : "shut down");
	buf_str(out, "  ");
	add_ends(out, s);
	buf_str(out, "  ");
	add_state(out, style, s->s.state);
	buf_printf(out, " %s", tcp_cause_name(s->v.cause));
	add_age(out, &s->v);
	add_holders(out, c, s, style);
	buf_str(out, "\n           ");
	if (refused) {
		buf_str(out, release_refusal_text(item->refusal));
		if (item->pid)
			buf_printf(out, " (process %" PRIu32 ")", item->pid);
	} else {
		buf_str(out, tcp_cause_meaning(s->v.cause));
		add_evidence(out, c, s);
		if (item->peer.known) {
			buf_str(out, "; its other end is here, in ");
			add_state(out, style, item->peer.before);
		}
	}
	buf_str(out, "\n");
}

static void add_change(struct buf *out, const struct release_end *end,
		       const struct report_style *style)
{
	add_state(out, style, end->before);
	buf_str(out, style->utf8 ? " \xe2\x86\x92 " : " -> ");
	add_state(out, style, end->after);
}

void release_text_done(struct buf *out, const struct census *c, const struct release_item *item,
		       enum release_method method, const struct report_style *style)
{
	static const char *const words[] = {
		[RELEASE_NOT_TRIED] = "not tried", [RELEASE_DONE] = "released ",
		[RELEASE_GONE] = "gone     ",      [RELEASE_CHANGED] = "left alone",
		[RELEASE_FAILED] = "failed   ",    [RELEASE_HIT_OTHER] = "WRONG ONE",
	};
	const struct census_socket *s = &c->sockets[item->socket];
	bool done = item->result == RELEASE_DONE;

	style_paint(out, style, done ? PAINT_GOOD : PAINT_BAD, words[item->result]);
	buf_str(out, "  ");
	add_ends(out, s);
	buf_str(out, "  ");
	if (!done) {
		text_escape(out, item->error, strlen(item->error), style->utf8);
		buf_str(out, "\n");
		return;
	}
	if (item->looked && item->own.known)
		add_change(out, &item->own, style);
	else
		add_state(out, style, s->s.state);
	if (item->looked && item->peer.known) {
		buf_str(out, "; its other end ");
		add_change(out, &item->peer, style);
	} else if (item->looked) {
		buf_str(out, "; its other end is not seen on this host");
	}
	if (item->looked && item->own.known && item->own.after == TCPS_LAST_ACK)
		buf_str(out, "; the peer has not answered yet: --reset would end it at once");
	if (method == RELEASE_SHUTDOWN)
		buf_printf(out, "; process %" PRIu32 " still has fd %" PRId32 " open", item->pid,
			   item->fd);
	buf_str(out, "\n");
}
