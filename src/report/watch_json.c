/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <string.h>

#include "report/json.h"
#include "report/watch.h"
#include "tcp/state.h"

/* An array of bytes that anybody chose; NUL ends it early. */
#define TEXT(out, array) json_quote((out), (array), strnlen((array), sizeof(array)))

static void add_ms(struct buf *out, const char *name, uint64_t ns)
{
	buf_printf(out, ",\"%s\":%" PRIu64 ".%06u", name, ns / 1000000, (unsigned)(ns % 1000000));
}

/* Seconds, to a nanosecond. */
static void add_wall(struct buf *out, const char *name, int64_t wall_ns)
{
	buf_printf(out, ",\"%s\":%" PRId64 ".%09u", name, wall_ns / 1000000000,
		   (unsigned)(wall_ns % 1000000000));
}

/* What every object has. */
static void begin(struct buf *out, const char *event, int64_t wall_ns)
{
	buf_printf(out, "{\"schema\":%d,\"event\":\"%s\"", WATCH_SCHEMA, event);
	add_wall(out, "time", wall_ns);
}

static void add_bool(struct buf *out, const char *name, bool value)
{
	buf_printf(out, ",\"%s\":%s", name, value ? "true" : "false");
}

static void add_stack(struct buf *out, const char *name, const struct tw_stack *s)
{
	buf_printf(out, ",\"%s\":", name);
	if (!s) {
		buf_str(out, "null");
		return;
	}
	buf_str(out, "[");
	for (unsigned i = 0; i < s->count; i++) {
		const struct tw_frame *f = &s->frames[i];

		buf_printf(out, "%s{\"address\":%" PRIu64 ",\"offset\":%" PRIu64 ",\"function\":",
			   i ? "," : "", f->address, f->offset);
		TEXT(out, f->function);
		buf_str(out, ",\"object\":");
		TEXT(out, f->object);
		buf_str(out, ",\"file\":");
		TEXT(out, f->file);
		buf_printf(out, ",\"line\":%u}", f->line);
	}
	buf_printf(out, "],\"%s_note\":", name);
	TEXT(out, s->note);
}

static void add_owners(struct buf *out, const char *name, const struct tw_owner *owners, unsigned n)
{
	buf_printf(out, ",\"%s\":[", name);
	for (unsigned i = 0; i < n && i < TW_MAX_OWNERS; i++) {
		const struct tw_owner *o = &owners[i];

		buf_printf(out, "%s{\"pid\":%d,\"comm\":", i ? "," : "", o->pid);
		TEXT(out, o->comm);
		buf_printf(out, ",\"fd\":%d,\"start_ns\":%" PRIu64 "}", o->fd, o->start_ns);
	}
	buf_str(out, "]");
}

static void add_holders(struct buf *out, const struct tw_line *l)
{
	const struct tw_closer *c = &l->closer;

	add_owners(out, l->waiting ? "listeners" : "holders", l->owners, l->owner_count);
	buf_printf(out, ",\"holder_count\":%u,\"closer\":", l->waiting ? 0 : l->owner_count);
	if (!l->has_closer) {
		buf_str(out, "null");
		return;
	}
	buf_printf(out, "{\"state\":\"%s\",\"cookie\":%" PRIu64 ",\"netns\":%" PRIu64,
		   tcp_state_name(c->state), c->cookie, c->netns);
	add_owners(out, "holders", c->owners, c->owner_count);
	buf_printf(out, ",\"holder_count\":%u}", c->owner_count);
}

static void add_told(struct buf *out, const struct tw_line *l)
{
	if (!l->told) {
		buf_str(out, ",\"told\":null");
		return;
	}
	buf_printf(out, ",\"told\":{\"pid\":%d,\"tid\":%d,\"comm\":", l->told_pid, l->told_tid);
	TEXT(out, l->told_comm);
	add_ms(out, "ago_ms", l->told_ns);
	add_stack(out, "stack", l->told_stack);
	buf_str(out, "}");
}

static void add_made(struct buf *out, const struct tw_line *l)
{
	buf_printf(out, ",\"made\":{\"by\":\"%s\"", l->accepted ? "accept" : "connect");
	add_stack(out, "stack", l->made_stack);
	buf_str(out, "}");
}

void watch_json(struct buf *out, const struct tw_line *l)
{
	const struct tcp_sample *s = &l->sample;
	char text[TCP_ADDR_TEXT];

	begin(out, tw_what_name(l->what), l->wall_ns);
	buf_printf(out, ",\"local\":\"%s\"", tcp_addr_text(&s->local, text));
	buf_printf(out, ",\"peer\":\"%s\"", tcp_addr_text(&s->peer, text));
	buf_printf(out, ",\"state\":\"%s\",\"cause\":\"%s\",\"closed_first\":\"%s\"",
		   tcp_state_name(s->state), tcp_cause_name(l->cause), tw_first_name(l->first));
	add_ms(out, "age_ms", l->age_ns);
	buf_printf(out, ",\"age_is\":\"%s\"",
		   tcp_age_is_name(l->at_least ? TCP_AGE_AT_LEAST : TCP_AGE_EXACT));
	add_bool(out, "taken_in", l->taken_in);
	add_holders(out, l);
	add_told(out, l);
	add_made(out, l);
	if (l->closed)
		add_ms(out, "close_lag_ms", l->lag_ns);
	else
		buf_str(out, ",\"close_lag_ms\":null");
	add_bool(out, "by_exit", l->by_exit);
	buf_printf(out,
		   ",\"recv_q\":%" PRIu32 ",\"send_q\":%" PRIu32 ",\"sent\":%" PRIu64
		   ",\"retransmits\":%u,\"error\":%u,\"cookie\":%" PRIu64 ",\"inode\":%" PRIu32
		   ",\"netns\":%" PRIu64 ",\"cgroup\":%" PRIu64 ",\"container\":",
		   s->recv_q, s->send_q, s->bytes_sent, s->retransmits, s->error, s->cookie,
		   s->inode, s->netns, l->cgroup);
	TEXT(out, l->container);
	buf_str(out, "}\n");
}

void watch_json_lag(struct buf *out, int64_t wall_ns, int64_t since_ns, const struct lag_row *row)
{
	const struct lag_bucket *b = row->buckets;
	size_t n = row->bucket_count;

	begin(out, "lag", wall_ns);
	add_wall(out, "since", since_ns);
	buf_printf(out, ",\"pid\":%d,\"start_ns\":%" PRIu64 ",\"comm\":", row->pid, row->start_ns);
	TEXT(out, row->comm);
	buf_printf(out, ",\"port\":%u,\"by\":\"%s\",\"count\":%" PRIu64, row->port,
		   row->outward ? "connect" : "accept", lag_count(b, n));
	add_ms(out, "p50_ms", lag_quantile(b, n, 500));
	add_ms(out, "p90_ms", lag_quantile(b, n, 900));
	add_ms(out, "p99_ms", lag_quantile(b, n, 990));
	add_ms(out, "max_ms", lag_max(b, n));
	buf_str(out, ",\"buckets\":[");
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "%s[%" PRIu64 ",%" PRIu64 ",%" PRIu64 "]", i ? "," : "",
			   lag_bucket_low(b[i].number), lag_bucket_high(b[i].number), b[i].count);
	buf_str(out, "]}\n");
}

void watch_json_summary(struct buf *out, int64_t wall_ns, const struct tw_summary *s)
{
	const struct tw_losses *l = &s->losses;

	begin(out, "summary", wall_ns);
	add_bool(out, "complete", !tw_losses_sum(l) && !s->cut_short);
	buf_printf(out,
		   ",\"reported\":%" PRIu64 ",\"open\":%" PRIu64 ",\"tracked\":%" PRIu64
		   ",\"emitted\":%" PRIu64 ",\"received\":%" PRIu64,
		   s->reported, s->open, s->tracked, s->emitted, s->received);
	buf_printf(out,
		   ",\"lost\":{\"events\":%" PRIu64 ",\"stacks\":%" PRIu64
		   ",\"stacks_refused\":%" PRIu64 ",\"ends_untracked\":%" PRIu64
		   ",\"lags\":%" PRIu64 ",\"missed\":%" PRIu64 ",\"reports_forgotten\":%" PRIu64,
		   l->events, l->stacks, l->refused, l->untracked, l->lags, l->missed,
		   l->forgotten);
	buf_printf(out,
		   ",\"stacks_not_kept\":%" PRIu64 ",\"makings\":%" PRIu64 ",\"children\":%" PRIu64
		   ",\"listeners\":%" PRIu64 ",\"namespaces\":%" PRIu64 "}}\n",
		   l->unkept, l->makings, l->children, l->listeners, l->namespaces);
}

void watch_json_start(struct buf *out, int64_t wall_ns, uint64_t after_ns, const char *reads,
		      const char *accepts)
{
	begin(out, "watching", wall_ns);
	add_ms(out, "after_ms", after_ns);
	buf_printf(out, ",\"reads\":\"%s\",\"accepts\":", reads);
	if (accepts)
		buf_printf(out, "\"%s\"}\n", accepts);
	else
		buf_str(out, "null}\n");
}

void watch_json_command(struct buf *out, int64_t wall_ns, bool killed, int number,
			unsigned left_running)
{
	begin(out, "command-ended", wall_ns);
	buf_printf(out, ",\"%s\":%d,\"left_running\":%u}\n", killed ? "signal" : "status", number,
		   left_running);
}

void watch_json_ended(struct buf *out, int64_t wall_ns)
{
	begin(out, "processes-ended", wall_ns);
	buf_str(out, "}\n");
}
