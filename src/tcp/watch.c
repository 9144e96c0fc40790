/* SPDX-License-Identifier: MIT */
#include "tcp/watch.h"

const char *tw_what_name(enum tw_what what)
{
	static const char *const names[TW_WHATS] = {
		[TW_HALF_CLOSED] = "half-closed",
		[TW_TOLD] = "told",
		[TW_CLOSED] = "closed",
		[TW_DEAD] = "dead",
		[TW_STILL] = "still",
		[TW_OVER] = "over",
	};

	return what < TW_WHATS ? names[what] : "?";
}

bool tw_is_fault(enum tcp_cause cause)
{
	return !((TCP_CAUSES_NORMAL | TCP_CAUSE_BIT(TCP_CAUSE_HALF_CLOSED_HERE)) &
		 TCP_CAUSE_BIT(cause));
}

const char *tw_first_name(enum tw_first first)
{
	static const char *const names[] = {
		[TW_FIRST_PEER] = "peer",
		[TW_FIRST_HERE] = "here",
		[TW_FIRST_NOBODY] = "nobody",
		[TW_FIRST_UNKNOWN] = "unknown",
	};

	return names[first];
}

uint64_t tw_losses_sum(const struct tw_losses *l)
{
	return l->events + l->stacks + l->refused + l->untracked + l->lags + l->missed +
	       l->forgotten + l->unkept + l->makings + l->children + l->listeners + l->namespaces;
}
