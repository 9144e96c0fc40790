/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/num.h"
#include "report/watch.h"
#include "report/watch_field.h"
#include "tcp/state.h"

void watch_text_clock(struct buf *out, int64_t wall_ns)
{
	time_t s = wall_ns / 1000000000;
	char text[16] = "?";
	struct tm tm;

	if (localtime_r(&s, &tm))
		strftime(text, sizeof(text), "%H:%M:%S", &tm);
	buf_printf(out, "%s.%03d", text, (int)(wall_ns / 1000000 % 1000));
}

static void add_time(struct buf *out, uint64_t ns)
{
	char text[32];

	buf_str(out, num_duration_text((int64_t)ns, text, sizeof(text)));
}

static void add_names(struct buf *out, const struct tw_owner *owners, unsigned n, const char *does,
		      const struct report_style *style)
{
	for (unsigned i = 0; i < n && i < TW_MAX_OWNERS; i++) {
		buf_str(out, i ? ", " : " ");
		WATCH_FIELD(out, owners[i].comm, style);
		buf_printf(out, "[%d] fd %d%s", owners[i].pid, owners[i].fd, does);
	}
	if (n > TW_MAX_OWNERS)
		buf_printf(out, " and %u more", n - TW_MAX_OWNERS);
}

static void add_owners(struct buf *out, const struct tw_line *l, const struct report_style *style)
{
	add_names(out, l->owners, l->owner_count, l->waiting ? " listens" : "", style);
	if (*l->container) {
		buf_str(out, " in ");
		watch_field(out, l->container, 12, style); /* as docker shows it */
	} else if (l->elsewhere) {
		buf_printf(out, " in netns %" PRIu64, l->sample.netns);
	}
}

/* Whether it is known that another holds it, as a child that has inherited it. */
static bool holds_no_more(const struct tw_line *l)
{
	if (!l->told_pid || !l->owner_count || l->owner_count > TW_MAX_OWNERS || l->waiting)
		return false;
	for (unsigned i = 0; i < l->owner_count; i++)
		if (l->owners[i].pid == l->told_pid)
			return false;
	return true;
}

static void add_told(struct buf *out, const struct tw_line *l, const struct report_style *style)
{
	buf_str(out, ", a read returned 0 ");
	add_time(out, l->told_ns);
	buf_str(out, " ago in ");
	WATCH_FIELD(out, l->told_comm, style);
	if (l->told_pid)
		buf_printf(out, "[%d]", l->told_pid);
	else
		buf_str(out, ", outside of this pid namespace");
	if (l->told_tid != l->told_pid)
		buf_printf(out, " thread %d", l->told_tid);
	if (holds_no_more(l))
		buf_str(out, ", which holds it no more");
}

static void add_closed(struct buf *out, const struct tw_line *l)
{
	buf_str(out, l->at_least ? ", closed after >=" : ", closed after ");
	add_time(out, l->lag_ns);
	if (l->by_exit)
		buf_str(out, " by its exit");
}

static void add_cause(struct buf *out, const struct tw_line *l, const struct report_style *style)
{
	if (l->what != TW_OVER && l->what != TW_CLOSED) {
		buf_str(out, " ");
		style_paint(out, style, l->first == TW_FIRST_HERE ? PAINT_WAIT : PAINT_HELD,
			    tcp_cause_name(l->cause));
	}
	if (l->cause == TCP_CAUSE_UNREAD && l->sample.recv_q > 1 && l->what != TW_OVER)
		buf_printf(out, ", %" PRIu32 " bytes before the FIN", l->sample.recv_q - 1);
	if (l->told)
		add_told(out, l, style);
	if (l->dead && l->sample.error)
		buf_printf(out, ", %s", strerrorname_np(l->sample.error));
	if (l->closed)
		add_closed(out, l);
	if (l->what == TW_HALF_CLOSED && l->has_closer && l->closer.owner_count) {
		buf_str(out, ";");
		add_names(out, l->closer.owners, l->closer.owner_count, "", style);
		buf_printf(out, " waits in %s", tcp_state_name(l->closer.state));
	}
}

const char *watch_made_title(const struct tw_line *l)
{
	return l->accepted ? "accepted" : "connected";
}

void watch_text_head(struct buf *out, const struct tw_line *l, const struct report_style *style)
{
	/* Which way the first FIN went. */
	static const char *const arrow[] = { "<-", "->", "--", "--" };
	char local[TCP_ADDR_TEXT], peer[TCP_ADDR_TEXT];

	watch_text_clock(out, l->wall_ns);
	buf_printf(out, " %-11s %s %s %s ",
		   tw_what_name(l->what == TW_HALF_CLOSED && l->dead ? TW_DEAD : l->what),
		   tcp_addr_text(&l->sample.local, local), arrow[l->first],
		   tcp_addr_text(&l->sample.peer, peer));
	if (l->what != TW_OVER) {
		style_paint(out, style, style_state_paint(l->sample.state),
			    tcp_state_name(l->sample.state));
		buf_str(out, " ");
	}
	buf_str(out, l->at_least ? ">=" : "");
	add_time(out, l->age_ns);
	add_owners(out, l, style);
	add_cause(out, l, style);
	buf_str(out, "\n");
}

void watch_text(struct buf *out, const struct tw_line *l, struct watch_shown *shown,
		const struct report_style *style)
{
	if (l->what == TW_CLOSED)
		return;
	watch_text_head(out, l, style);
	if (l->what != TW_HALF_CLOSED && l->what != TW_TOLD && l->what != TW_STILL)
		return;
	if (l->told_stack)
		watch_text_stack_once(out, "told at", l->told_stack, l->wall_ns, shown, style);
	if (l->made_stack && l->what != TW_TOLD)
		watch_text_stack_once(out, watch_made_title(l), l->made_stack, l->wall_ns, shown,
				      style);
}

static void add_row(struct buf *out, const struct lag_row *row, const struct report_style *style)
{
	static const unsigned permille[] = { 500, 900, 990 };
	_buf_ struct buf name = { 0 };
	char text[32];

	WATCH_FIELD(&name, row->comm, style);
	if (row->pid || row->start_ns) /* else the kernel, or all of one name that have ended */
		buf_printf(&name, "[%d]", row->pid);
	buf_printf(&name, " %s:%u", row->outward ? "->" : "", row->port);
	buf_printf(out, "  %-32s %7" PRIu64, name.data ? name.data : "",
		   lag_count(row->buckets, row->bucket_count));
	for (size_t i = 0; i < sizeof(permille) / sizeof(permille[0]); i++) {
		uint64_t ns = lag_quantile(row->buckets, row->bucket_count, permille[i]);

		buf_printf(out, " %8s", num_duration_text((int64_t)ns, text, sizeof(text)));
	}
	buf_printf(out, " %8s\n",
		   num_duration_text((int64_t)lag_max(row->buckets, row->bucket_count), text,
				     sizeof(text)));
}

void watch_text_lags(struct buf *out, int64_t wall_ns, const struct lag_row *rows, size_t n,
		     bool draw, const struct report_style *style)
{
	if (!n)
		return;
	watch_text_clock(out, wall_ns);
	buf_printf(out, " %-21s %7s %8s %8s %8s %8s\n", "close lag since start", "closes", "p50",
		   "p90", "p99", "max");
	for (size_t i = 0; i < n; i++) {
		add_row(out, &rows[i], style);
		if (draw)
			lag_draw(out, rows[i].buckets, rows[i].bucket_count, style->utf8);
	}
}

static void add_loss(struct buf *out, uint64_t n, const char *what)
{
	if (n)
		buf_printf(out, "  %" PRIu64 " %s\n", n, what);
}

void watch_text_summary(struct buf *out, const struct tw_summary *s)
{
	const struct tw_losses *l = &s->losses;

	buf_printf(out, "%" PRIu64 " reported, %" PRIu64 " still open", s->reported, s->open);
	if (!tw_losses_sum(l) && !s->cut_short) {
		buf_str(out, "\n");
		return;
	}
	buf_str(out, "; this report is incomplete:\n");
	if (s->cut_short)
		buf_str(out, "  the watch could not go on\n");
	add_loss(out, l->events, "events lost: the buffer was full; --buffer makes it larger");
	add_loss(out, l->stacks, "stacks lost: their buffer was full");
	add_loss(out, l->refused, "stacks not taken: too many new ones in one second");
	add_loss(out, l->untracked, "ends not followed: the table was full");
	add_loss(out, l->lags, "close lags not counted: the table was full");
	add_loss(
		out, l->missed,
		"events not seen: they came, by an interrupt, while another was looked at; what began then is looked for");
	add_loss(out, l->forgotten, "reports not kept: out of memory, or of room");
	add_loss(out, l->unkept, "stacks not shown: there was no room to keep them");
	add_loss(out, l->makings, "makings of sockets not noted: the table was full");
	add_loss(out, l->children, "child processes not watched: the table was full");
	add_loss(out, l->listeners,
		 "accept queues not looked at to their end: too many wait there");
	add_loss(
		out, l->namespaces,
		"network namespaces not looked into: what waited to be accepted there is not seen");
}

void watch_text_start(struct buf *out, uint64_t after_ns, const char *reads)
{
	buf_str(out, "watching for what stays half-closed longer than ");
	add_time(out, after_ns);
	buf_printf(out, " (reads: %s)\n", reads);
}

void watch_text_command(struct buf *out, unsigned left_running)
{
	if (left_running)
		buf_printf(out,
			   "the command has ended; %u of its children still run%s, unwatched\n",
			   left_running, left_running == 1 ? "s" : "");
}

void watch_text_ended(struct buf *out, unsigned processes)
{
	buf_str(out, processes == 1 ? "the process has ended\n" : "all the processes have ended\n");
}
