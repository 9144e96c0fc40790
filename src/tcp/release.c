/* SPDX-License-Identifier: MIT */
#include "tcp/release.h"

static const struct refusal {
	const char *name, *text;
} refusals[RELEASE_REFUSALS] = {
	[RELEASE_QUALIFIES] = { "qualifies", "may be released" },
	[RELEASE_LISTENER] = { "listener", "it listens: closing it would stop the service" },
	[RELEASE_INIT] = { "init", "pid 1 holds it" },
	[RELEASE_SELF] = { "self", "this very process holds it" },
	[RELEASE_ANCESTOR] = { "ancestor", "a process that this one was started by holds it" },
	[RELEASE_SESSION] = { "session",
			      "its holder belongs to the session that this was typed in; "
			      "run this from another session" },
	[RELEASE_SSH] = { "ssh", "the session that this was typed in came over it" },
	[RELEASE_KIN_UNKNOWN] = { "kin-unknown",
				  "what its holder is to this session cannot be told" },
	[RELEASE_ESTABLISHED] = { "established",
				  "both sides may still use it; --state ESTABLISHED asks for it" },
	[RELEASE_TIME_WAIT] = { "time-wait",
				"it ends by itself within a minute; --cause time-wait asks for it" },
	[RELEASE_REPLYING] = { "replying", "its holder still sends; --cause replying asks for it" },
	[RELEASE_CLOSING] = { "closing", "it is closing normally; --cause closing asks for it" },
	[RELEASE_NOT_BEGUN] = { "not-begun", "it is no connection that has begun to end" },
	[RELEASE_DEAD] = { "dead", "its connection is gone already; only its holder can close it" },
	[RELEASE_NO_COOKIE] = { "no-cookie", "the kernel gave no cookie to know it by" },
	[RELEASE_MPTCP_WHOLE] = { "mptcp-connection",
				  "it is a Multipath TCP connection: only its program can end it" },
	[RELEASE_MPTCP] = { "mptcp",
			    "it is a part of a Multipath TCP connection; --reset ends it" },
	[RELEASE_NO_DESCRIPTOR] = { "no-descriptor",
				    "no process has a descriptor to take a copy of; --reset ends it" },
	[RELEASE_HOLDER_UNSEEN] = { "holder-unseen",
				    "the descriptors of its holder may not be seen; run this as "
				    "its user or as root" },
	[RELEASE_FIN_SENT] = { "fin-sent", "this side has sent its FIN already; --reset ends it" },
};

static enum release_refusal kin_refusal(enum release_kin kin)
{
	switch (kin) {
	case RELEASE_KIN_NONE:
		return RELEASE_QUALIFIES;
	case RELEASE_KIN_INIT:
		return RELEASE_INIT;
	case RELEASE_KIN_SELF:
		return RELEASE_SELF;
	case RELEASE_KIN_ANCESTOR:
		return RELEASE_ANCESTOR;
	case RELEASE_KIN_SESSION:
		return RELEASE_SESSION;
	case RELEASE_KIN_SSH:
		return RELEASE_SSH;
	default:
		return RELEASE_KIN_UNKNOWN;
	}
}

/* What must be asked for by its own name, for it is either in use or ends by itself. */
static enum release_refusal unnamed(const struct census_socket *s, const struct release_named *n)
{
	bool state_named = n->states & TCP_BIT(s->s.state);
	bool cause_named = n->causes & TCP_CAUSE_BIT(s->v.cause);

	if (s->s.state == TCPS_ESTABLISHED && !state_named)
		return RELEASE_ESTABLISHED;
	if (s->s.state == TCPS_TIME_WAIT && !state_named && !cause_named)
		return RELEASE_TIME_WAIT;
	if (s->v.cause == TCP_CAUSE_REPLYING && !cause_named)
		return RELEASE_REPLYING;
	if (s->v.cause == TCP_CAUSE_CLOSING && !cause_named)
		return RELEASE_CLOSING;
	return RELEASE_QUALIFIES;
}

static enum release_refusal by_shutdown(const struct census_socket *s)
{
	if (s->s.mptcp)
		return RELEASE_MPTCP;
	if (s->s.state != TCPS_CLOSE_WAIT && s->s.state != TCPS_ESTABLISHED)
		return RELEASE_FIN_SENT;
	if (s->held.n)
		return RELEASE_QUALIFIES;
	return s->all_seen || !s->s.inode ? RELEASE_NO_DESCRIPTOR : RELEASE_HOLDER_UNSEEN;
}

enum release_refusal release_judge(const struct census_socket *s, enum release_method method,
				   const struct release_named *named, enum release_kin kin)
{
	enum release_refusal r = kin_refusal(kin);

	if (s->s.state == TCPS_LISTEN)
		return RELEASE_LISTENER;
	if (r == RELEASE_QUALIFIES)
		r = unnamed(s, named);
	if (r != RELEASE_QUALIFIES)
		return r;
	if (s->s.state == TCPS_CLOSE)
		return s->v.cause == TCP_CAUSE_DEAD ? RELEASE_DEAD : RELEASE_NOT_BEGUN;
	if (s->s.state != TCPS_ESTABLISHED && s->s.state != TCPS_TIME_WAIT &&
	    !(TCP_HALF_CLOSED & TCP_BIT(s->s.state)))
		return RELEASE_NOT_BEGUN;
	if (!s->s.cookie)
		return RELEASE_NO_COOKIE;
	if (s->s.mptcp == TCP_MPTCP_CONNECTION)
		return RELEASE_MPTCP_WHOLE;
	return method == RELEASE_SHUTDOWN ? by_shutdown(s) : RELEASE_QUALIFIES;
}

bool release_still_old(const struct census *c, const struct census_socket *then,
		       const struct tcp_sample *now, uint64_t older_ms)
{
	struct tcp_context context = census_context(c, then);
	struct tcp_verdict v = tcp_verdict(now, &context);

	if (older_ms == 0)
		return true;
	return v.age_is != TCP_AGE_UNKNOWN && v.age_ms >= older_ms;
}

const char *release_method_name(unsigned method)
{
	return method == RELEASE_RESET ? "reset" : "shutdown";
}

const char *release_refusal_name(unsigned refusal)
{
	return refusal < RELEASE_REFUSALS ? refusals[refusal].name : "?";
}

const char *release_result_name(unsigned result)
{
	static const char *const names[] = { "not-tried", "done",   "gone",
					     "changed",   "failed", "hit-other" };

	return result < sizeof(names) / sizeof(names[0]) ? names[result] : "?";
}

const char *release_refusal_text(unsigned refusal)
{
	return refusal < RELEASE_REFUSALS ? refusals[refusal].text : "?";
}
