/* SPDX-License-Identifier: MIT */
#include "report/watch_text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/num.h"
#include "base/text.h"
#include "tcp/state.h"

#define DURATION 32

static void add_clock(struct buf *out, int64_t wall_ns)
{
	time_t s = wall_ns / 1000000000;
	char text[16] = "?";
	struct tm tm;

	if (localtime_r(&s, &tm))
		strftime(text, sizeof(text), "%H:%M:%S", &tm);
	buf_printf(out, "%s.%03d ", text, (int)(wall_ns / 1000000 % 1000));
}

static void add_comm(struct buf *out, const char comm[TW_COMM])
{
	text_escape(out, comm, strnlen(comm, TW_COMM), text_locale_is_utf8());
}

static void add_owners(struct buf *out, const struct tw_line *l)
{
	if (!l->owner_count)
		buf_str(out, " no descriptor");
	for (unsigned i = 0; i < l->owner_count && i < TW_MAX_OWNERS; i++) {
		buf_str(out, i ? ", " : " ");
		add_comm(out, l->owners[i].comm);
		buf_printf(out, "[%d] fd %d", l->owners[i].pid, l->owners[i].fd);
	}
	if (l->owner_count > TW_MAX_OWNERS)
		buf_printf(out, " and %u more", l->owner_count - TW_MAX_OWNERS);
}

static void add_cause(struct buf *out, const struct tw_line *l)
{
	char text[DURATION];

	buf_printf(out, " %s", tw_cause_name(l->cause));
	if (l->facts.told) {
		buf_printf(out, ": read returned 0 %s ago in ",
			   num_duration_text((int64_t)l->told_ns, text, sizeof(text)));
		add_comm(out, l->told_comm);
		buf_printf(out, "[%d]", l->told_pid);
		if (l->told_tid != l->told_pid)
			buf_printf(out, " thread %d", l->told_tid);
	} else if (l->cause == TW_UNREAD && l->facts.unread > 1) {
		buf_printf(out, ": %u bytes and the FIN wait", l->facts.unread - 1);
	} else if (l->cause == TW_UNREAD) {
		buf_str(out, ": the FIN waits");
	}
}

void watch_text(struct buf *out, const struct tw_line *l)
{
	char local[TCP_ADDR_TEXT], peer[TCP_ADDR_TEXT], text[DURATION];

	add_clock(out, l->wall_ns);
	buf_printf(out, "%-11s %s %s %s", tw_what_name(l->what), tcp_addr_text(&l->local, local),
		   l->facts.holder ? "<-" : "->", tcp_addr_text(&l->peer, peer));
	buf_printf(out, " %s %s%s", tcp_state_name(l->facts.state), l->at_least ? ">=" : "",
		   num_duration_text((int64_t)l->age_ns, text, sizeof(text)));
	add_owners(out, l);
	add_cause(out, l);
	if (l->lag_ns)
		buf_printf(out, "; closed after %s%s",
			   num_duration_text((int64_t)l->lag_ns, text, sizeof(text)),
			   l->by_exit ? " by its exit" : "");
	buf_str(out, "\n");
}
