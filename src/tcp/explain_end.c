/* SPDX-License-Identifier: MIT */
/* The sentences on one end that was looked at. The rules are those of the causes: who holds it
 * decides which timer can end it, and so who has to act. */
#include "tcp/explain.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "base/text.h"

struct telling {
	struct buf *out;
	const struct tl_end *end;
	const char *who, *other; /* "client", "server" */
	enum tl_side side;
	bool utf8;
};

static void add_holder(const struct telling *t, const struct tl_holder *h)
{
	text_escape(t->out, h->comm, strnlen(h->comm, sizeof(h->comm)), t->utf8);
	buf_printf(t->out, "[%" PRId32 "], fd %" PRId32, h->pid, h->fd);
}

/* "daytimed[70], fd 5", "a[1], fd 3; b[2], fd 3, and c[3], fd 4"; "a process" where it is not
 * known.
 */
static void add_holders(const struct telling *t)
{
	unsigned n = t->end->nholders, shown = n < TL_MAX_HOLDERS ? n : TL_MAX_HOLDERS;

	if (!t->end->holders_known || n == 0) {
		buf_str(t->out, t->end->holders_known ? "no process" : "a process");
		return;
	}
	for (unsigned i = 0; i < shown; i++) {
		if (i > 0)
			buf_str(t->out, i + 1 == n ? ", and " : "; ");
		add_holder(t, &t->end->holders[i]);
	}
	if (n > shown)
		buf_printf(t->out, "; and %u more", n - shown);
}

/* " in 60 s", or " now" where the timer is due. */
static void add_due(const struct telling *t, uint32_t ms)
{
	char text[32];

	if (ms == 0)
		buf_str(t->out, " now");
	else
		buf_printf(t->out, " in %s",
			   num_duration_text(ms * CLOCK_NS_PER_MS, text, sizeof(text)));
}

/* No descriptor can exist for it: an orphan, or a connection that was not accepted. */
static bool is_unowned(const struct tl_end *end)
{
	return end->sample.inode == 0 && end->nholders == 0;
}

/* FIN_WAIT_1, CLOSING, LAST_ACK. */
static void tell_unacked_fin(const struct telling *t)
{
	const struct tcp_sample *s = &t->end->sample;

	buf_printf(t->out, "The %s has closed, and its FIN ", t->who);
	if (s->timer == TCP_TIMER_PROBE) {
		buf_printf(t->out,
			   "waits behind %" PRIu32 " bytes: the %s's window is shut. The %s has to "
			   "read.",
			   s->send_q ? s->send_q - 1 : 0, t->other, t->other);
		return;
	}
	buf_str(t->out, "is not acknowledged");
	if (s->retransmits)
		buf_printf(t->out, "; sent again %u time%s", s->retransmits,
			   s->retransmits == 1 ? "" : "s");
	if (s->timer == TCP_TIMER_RETRANSMIT) {
		buf_str(t->out, s->retransmits ? ", next" : "; sent again");
		add_due(t, s->timer_ms);
	}
	buf_printf(t->out, ". The %s's host has to answer.", t->other);
}

/* What runs while a holder keeps an end open: nothing, or what does not end it in order. */
static void tell_held_timer(const struct telling *t, const char *no_timer)
{
	const struct tcp_sample *s = &t->end->sample;

	if (s->timer == TCP_TIMER_NONE) {
		buf_printf(t->out, "%s timer runs", no_timer);
	} else if (s->timer == TCP_TIMER_KEEPALIVE) {
		buf_printf(t->out, "keepalive asks the %s's host", t->other);
		add_due(t, s->timer_ms);
		buf_str(t->out, ", and ends it only where that knows it no more");
	} else {
		buf_str(t->out, "the timer that runs is for what was sent");
	}
}

static void tell_fin_wait2(const struct telling *t)
{
	const struct tcp_sample *s = &t->end->sample;

	if (is_unowned(t->end)) {
		buf_printf(t->out, "The %s is done: its socket is an orphan", t->who);
		if (s->timer != TCP_TIMER_NONE) {
			buf_str(t->out, ", dropped");
			add_due(t, s->timer_ms);
		}
		buf_printf(t->out, " unless the %s closes first.", t->other);
		return;
	}
	buf_printf(t->out, "The %s has closed its sending side and still holds the socket (",
		   t->who);
	add_holders(t);
	buf_str(t->out, "): ");
	tell_held_timer(t, "no");
	buf_printf(t->out, ". The %s has to close.", t->other);
}

static void tell_close_wait(const struct telling *t)
{
	const struct tcp_sample *s = &t->end->sample;

	if (is_unowned(t->end) && t->side == TL_SERVER) {
		buf_printf(
			t->out,
			"The %s has not accepted the connection, and the %s has closed it: it stays "
			"in the accept queue. The %s has to accept and close.",
			t->who, t->other, t->who);
		return;
	}
	buf_printf(t->out, "The %s holds the connection open: ", t->who);
	add_holders(t);
	if (t->end->holders_known && t->end->nholders)
		buf_str(t->out, t->end->nholders > 1 ? "; all of them" : ",");
	if (t->end->nholders > 1)
		buf_str(t->out, " have to close");
	else if (t->end->told)
		buf_str(t->out, " has read the end of the stream and not closed");
	else if (s->recv_q > 1)
		buf_printf(t->out, " has not read %" PRIu32 " bytes and the FIN", s->recv_q - 1);
	else if (s->recv_q == 1)
		buf_str(t->out, " has not read the FIN");
	else
		buf_str(t->out, " has taken all that came and not closed");
	if (s->timer == TCP_TIMER_NONE)
		buf_str(t->out, ". ");
	else
		buf_str(t->out, "; ");
	tell_held_timer(t, "No");
	buf_printf(t->out, ": the %s has to close, or exit.", t->who);
}

static void tell_open(const struct telling *t)
{
	if (is_unowned(t->end) && t->side == TL_SERVER) {
		buf_printf(t->out, "The %s has not accepted the connection yet.", t->who);
		return;
	}
	buf_printf(t->out, "The %s's end is open, held by ", t->who);
	add_holders(t);
	buf_str(t->out, ". No timer ends it.");
}

static void tell_time_wait(const struct telling *t)
{
	buf_printf(t->out, "The %s is done: its TIME_WAIT ends by itself", t->who);
	add_due(t, t->end->sample.timer_ms);
	buf_str(t->out, ". Nobody has to act.");
}

static void tell_dead(const struct telling *t)
{
	buf_printf(t->out, "The %s's connection is dead, reset or given up", t->who);
	if (t->end->nholders) {
		buf_str(t->out, ", but ");
		add_holders(t);
		buf_str(t->out, ", still holds the socket: only its close frees it");
	}
	buf_str(t->out, ".");
}

/* The states before the connection is open. */
static void tell_opening(const struct telling *t, unsigned state)
{
	if (state == TCPS_LISTEN)
		buf_printf(t->out, "The %s listens.", t->who);
	else if (state == TCPS_SYN_SENT)
		buf_printf(t->out, "The %s has asked for a connection and has no answer yet.",
			   t->who);
	else
		buf_printf(t->out, "The %s has answered the SYN; the %s has to confirm.", t->who,
			   t->other);
}

void explain_end(struct buf *out, const struct tl_end *end, enum tl_side side, bool utf8)
{
	static const char *const names[] = { "client", "server" };
	struct telling t = { out,  end, names[side == TL_SERVER], names[side != TL_SERVER],
			     side, utf8 };

	switch (end->sample.state) {
	case TCPS_GONE:
		buf_printf(out, "Nothing is left of the %s's end.", t.who);
		break;
	case TCPS_ESTABLISHED:
		tell_open(&t);
		break;
	case TCPS_FIN_WAIT1:
	case TCPS_CLOSING:
	case TCPS_LAST_ACK:
		tell_unacked_fin(&t);
		break;
	case TCPS_FIN_WAIT2:
		tell_fin_wait2(&t);
		break;
	case TCPS_CLOSE_WAIT:
		tell_close_wait(&t);
		break;
	case TCPS_TIME_WAIT:
		tell_time_wait(&t);
		break;
	case TCPS_CLOSE:
		tell_dead(&t);
		break;
	default:
		tell_opening(&t, end->sample.state);
		break;
	}
}

void explain_observed(struct buf *out, const struct tl_observation *seen, enum tl_side side,
		      bool utf8)
{
	if (seen->ends[side].sample.state == TCPS_GONE &&
	    seen->ends[!side].sample.state == TCPS_SYN_SENT)
		buf_printf(out, "The %s's kernel has made no connection of it.",
			   side == TL_SERVER ? "server" : "client");
	else
		explain_end(out, &seen->ends[side], side, utf8);
}
