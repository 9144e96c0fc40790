/* SPDX-License-Identifier: MIT */
#include "tcp/watch.h"

#include "tcp/state.h"

const char *tw_cause_name(enum tw_cause cause)
{
	static const char *const names[TW_CAUSES] = {
		[TW_UNREAD] = "unread",
		[TW_TOLD_OPEN] = "told",
		[TW_DRAINED] = "drained",
		[TW_NOT_ACCEPTED] = "not-accepted",
		[TW_NO_DESCRIPTOR] = "no-descriptor",
		[TW_REPLYING] = "replying",
		[TW_PEER_GONE] = "peer-gone",
		[TW_SEND_BLOCKED] = "send-blocked",
		[TW_HALF_CLOSED_HERE] = "half-closed-here",
		[TW_ORPHAN] = "orphan",
		[TW_GONE] = "dead",
	};

	return cause < TW_CAUSES ? names[cause] : "?";
}

const char *tw_what_name(enum tw_what what)
{
	static const char *const names[TW_WHATS] = {
		[TW_HALF_CLOSED] = "half-closed",
		[TW_TOLD] = "told",
		[TW_CLOSED] = "closed",
		[TW_DEAD] = "dead",
		[TW_OVER] = "over",
	};

	return what < TW_WHATS ? names[what] : "?";
}

/* This end has sent its FIN and the other has not acknowledged it: data before it are held up by a
 * shut window, or nobody answers. */
static enum tw_cause closer_cause(const struct tw_facts *f)
{
	if (f->state == TCPS_FIN_WAIT2)
		return f->has_socket ? TW_HALF_CLOSED_HERE : TW_ORPHAN;
	if (f->unacked > 1 && f->peer_window == 0)
		return TW_SEND_BLOCKED;
	return TW_PEER_GONE;
}

static enum tw_cause holder_cause(const struct tw_facts *f, uint64_t quiet_ns)
{
	if (!f->has_socket)
		return TW_NOT_ACCEPTED;
	if (f->owners == 0)
		return TW_NO_DESCRIPTOR;
	if (f->sent > 0 && (f->unacked > 0 || f->sent_ns < quiet_ns))
		return TW_REPLYING;
	if (f->told)
		return TW_TOLD_OPEN;
	return f->unread ? TW_UNREAD : TW_DRAINED;
}

enum tw_cause tw_cause(const struct tw_facts *f, uint64_t quiet_ns)
{
	if (f->dead)
		return TW_GONE;
	if (f->state == TCPS_CLOSE_WAIT)
		return holder_cause(f, quiet_ns);
	return closer_cause(f);
}

uint64_t tw_losses_sum(const struct tw_losses *l)
{
	return l->events + l->stacks + l->refused + l->untracked + l->lags + l->forgotten;
}
