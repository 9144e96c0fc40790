/* SPDX-License-Identifier: MIT */
/* How the rules reason.
 *
 * CLOSE_WAIT. The kernel keeps no stamp of the FIN's arrival. Three stamps bound it: the FIN
 * carries an ACK, so last_ack_recv is never older than it; it comes after the peer's last data, so
 * last_data_recv is never younger. Where both say the same, or where nothing came after the FIN
 * (after_fin, which only BPF can see), the age is exact; else last_ack_recv is its lower bound.
 *
 * A holder that answers a half-closed peer (RFC 9293 §3.6) is no leak. It is proven where bytes
 * wait for the peer's ACK, where a second look sees more bytes sent, or where the last thing sent
 * was acknowledged by a segment after the FIN. It counts as going on for REPLY_MS.
 *
 * FIN_WAIT_2 without a descriptor and TIME_WAIT are small entries whose timer is set on entry
 * (tcp_time_wait()), and again where a FIN is repeated: what has run off is a lower bound.
 *
 * FIN_WAIT_1, CLOSING, LAST_ACK: an unacknowledged FIN alone is an accusation of nobody, it lasts a
 * round trip; retransmissions are the proof that the peer does not answer. */
#include "tcp/verdict.h"

#include <errno.h>
#include <string.h>

/* TCP_TIMEWAIT_LEN of include/net/tcp.h; cannot be changed at run time. */
#define TIME_WAIT_MS 60000
/* Kernel stamps are read in ticks; HZ=100 is the coarsest kernel. 64 bits, for stamps go up to
 * UINT32_MAX. */
#define TICK_MS UINT64_C(10)
/* A half-close silent for longer than this is not called in use. */
#define REPLY_MS 60000
/* TCP_DELACK_MAX: how much later than a round trip the peer's ACK may come. */
#define DELAYED_ACK_MS 200
/* TCP_RTO_MAX: doubling stops here. */
#define RTO_MAX_MS 120000

/* Clauses for a line; full sentences stand in tcp/explain.c. */
static const struct cause {
	const char *name, *meaning, *advice;
} causes[TCP_CAUSE_COUNT] = {
	[TCP_CAUSE_NONE] = { "none", "nothing is wrong with it", NULL },
	[TCP_CAUSE_UNREAD] = { "unread",
			       "the peer has closed, and the program has not read to the end",
			       "the program must read until 0, then close" },
	[TCP_CAUSE_TOLD] = { "told", "a read returned 0 and the descriptor is still open",
			     "the program was told by a read of 0: it must close" },
	[TCP_CAUSE_DRAINED] = { "drained", "the peer has closed and all was read, but for close",
				"the program must close at the end of the stream" },
	[TCP_CAUSE_NOT_ACCEPTED] = { "not-accepted", "the peer has closed before it was accepted",
				     "the listener's program must accept: it is stuck or too slow" },
	[TCP_CAUSE_SHARED] = { "shared", "the peer has closed, and several processes hold it",
			       "every holder must close: mind close after fork, and CLOEXEC" },
	[TCP_CAUSE_NO_DESCRIPTOR] = { "no-descriptor", "no process has a descriptor of it",
				      "look for an unread SCM_RIGHTS message or an io_uring file table" },
	[TCP_CAUSE_REPLYING] = { "replying", "data still flows: a half-close in use", NULL },
	[TCP_CAUSE_CLOSING] = { "closing", "our FIN is on its way: normal", NULL },
	[TCP_CAUSE_PEER_GONE] = { "peer-gone", "our FIN is sent again and again without an answer",
				  "the peer or the path is gone: the kernel gives up by itself" },
	[TCP_CAUSE_SEND_BLOCKED] = { "send-blocked",
				     "our FIN waits behind data that the peer has no room for",
				     "the peer must read; the kernel gives up by itself" },
	[TCP_CAUSE_HALF_CLOSED_HERE] = { "half-closed-here", "shut down here, and still held",
					 "the program must close, or the peer: no timer ends this" },
	[TCP_CAUSE_ORPHAN] = { "orphan", "closed here, not by the peer; the kernel drops it soon",
			       NULL },
	[TCP_CAUSE_DEAD] = { "dead", "the connection is gone and the descriptor is open",
			     "the program must close on an error or a hang-up" },
	[TCP_CAUSE_TIME_WAIT] = { "time-wait", "finished; the kernel forgets it within a minute",
				  NULL },
};

const char *tcp_cause_name(unsigned cause)
{
	return cause < TCP_CAUSE_COUNT ? causes[cause].name : "?";
}

static bool same_cause(const char *typed, const char *name)
{
	for (; *typed && *name; typed++, name++)
		if ((*typed == '_' ? '-' : *typed) != *name)
			return false;
	return *typed == *name;
}

int tcp_cause_parse(const char *name)
{
	for (int i = 0; i < TCP_CAUSE_COUNT; i++)
		if (same_cause(name, causes[i].name))
			return i;
	return -1;
}

const char *tcp_cause_meaning(unsigned cause)
{
	return cause < TCP_CAUSE_COUNT ? causes[cause].meaning : "?";
}

const char *tcp_cause_advice(unsigned cause)
{
	return cause < TCP_CAUSE_COUNT ? causes[cause].advice : NULL;
}

const char *tcp_age_is_name(unsigned age_is)
{
	static const char *const names[] = { "unknown", "at-least", "exact" };

	return age_is < sizeof(names) / sizeof(names[0]) ? names[age_is] : "?";
}

/* Whether the segment that came last can be the ACK of what was sent last. */
static bool last_ack_follows_last_data(const struct tcp_sample *s)
{
	uint32_t delay = s->last_data_sent_ms - s->last_ack_recv_ms;

	if (s->last_data_sent_ms + TICK_MS < s->last_ack_recv_ms)
		return false;
	return s->last_data_sent_ms <= s->last_ack_recv_ms ||
	       delay <= 2 * s->rtt_ms + DELAYED_ACK_MS;
}

/* Sent since the peer's last data, lately, and answered by what came last. */
static bool sent_lately(const struct tcp_sample *s)
{
	return s->has_info && s->bytes_sent > 0 && s->last_data_sent_ms <= REPLY_MS &&
	       s->last_data_sent_ms <= s->last_data_recv_ms + TICK_MS &&
	       last_ack_follows_last_data(s);
}

/* The last thing that came was data, lately. */
static bool received_lately(const struct tcp_sample *s)
{
	return s->has_info && s->bytes_received > 0 && s->last_data_recv_ms <= REPLY_MS &&
	       s->last_data_recv_ms <= s->last_ack_recv_ms + TICK_MS;
}

static bool flowed_lately(const struct tcp_sample *s)
{
	if (s->state == TCPS_CLOSE_WAIT)
		return sent_lately(s);
	return s->state == TCPS_FIN_WAIT2 && received_lately(s);
}

/* One look proves it. What came and was not read proves only that the peer sends, not that anybody
 * here wants it. */
static bool is_flowing(const struct tcp_sample *s)
{
	if (s->state == TCPS_CLOSE_WAIT && s->send_q > 0)
		return true;
	return s->after_fin == TCP_AFTER_FIN_SEGMENTS && flowed_lately(s) &&
	       (s->state == TCPS_CLOSE_WAIT || s->recv_q == 0);
}

/* Sent after the last ACK, and all of it acknowledged: sock_diag counted the queue first, and wrote
 * down the stamps after the holder had sent more. */
static bool is_torn(const struct tcp_sample *s)
{
	return s->state == TCPS_CLOSE_WAIT && s->has_info && s->bytes_sent > 0 && s->send_q == 0 &&
	       s->last_data_sent_ms + TICK_MS < s->last_ack_recv_ms;
}

bool tcp_may_be_replying(const struct tcp_sample *s)
{
	return s->inode && s->after_fin != TCP_AFTER_FIN_NOTHING && !is_flowing(s) &&
	       (flowed_lately(s) || is_torn(s));
}

uint64_t tcp_flow(const struct tcp_sample *s)
{
	return s->state == TCPS_CLOSE_WAIT ? s->bytes_sent : s->bytes_received;
}

static bool is_replying(const struct tcp_sample *s, const struct tcp_context *c)
{
	return c->flowing || is_flowing(s);
}

static enum tcp_cause close_wait_cause(const struct tcp_sample *s, const struct tcp_context *c)
{
	if (!s->inode)
		return TCP_CAUSE_NOT_ACCEPTED;
	if (c->told)
		return TCP_CAUSE_TOLD;
	if (is_replying(s, c))
		return TCP_CAUSE_REPLYING;
	if (c->processes > 1)
		return TCP_CAUSE_SHARED;
	if (c->processes == 0 && c->all_seen)
		return TCP_CAUSE_NO_DESCRIPTOR;
	return s->recv_q > 0 ? TCP_CAUSE_UNREAD : TCP_CAUSE_DRAINED;
}

static enum tcp_cause our_fin_cause(const struct tcp_sample *s)
{
	/* The FIN itself counts as one byte in send_q; more than that is data before it. */
	bool shut_window = s->has_info && s->notsent_bytes > 0 && s->snd_wnd == 0;

	if (s->send_q > 1 && (s->timer == TCP_TIMER_PROBE || shut_window))
		return TCP_CAUSE_SEND_BLOCKED;
	return s->retransmits > 0 ? TCP_CAUSE_PEER_GONE : TCP_CAUSE_CLOSING;
}

bool tcp_was_connected(const struct tcp_sample *s)
{
	return s->segs_in > 1 || s->bytes_received > 0 || s->bytes_acked > 0 || s->bytes_sent > 0;
}

static enum tcp_cause cause_of(const struct tcp_sample *s, const struct tcp_context *c)
{
	switch (s->state) {
	case TCPS_CLOSE_WAIT:
		return close_wait_cause(s, c);
	case TCPS_FIN_WAIT1:
	case TCPS_CLOSING:
	case TCPS_LAST_ACK:
		return our_fin_cause(s);
	case TCPS_FIN_WAIT2:
		if (!s->inode)
			return TCP_CAUSE_ORPHAN;
		if (c->processes == 0 && c->all_seen)
			return TCP_CAUSE_NO_DESCRIPTOR;
		return is_replying(s, c) ? TCP_CAUSE_REPLYING : TCP_CAUSE_HALF_CLOSED_HERE;
	case TCPS_CLOSE:
		return s->inode && tcp_was_connected(s) ? TCP_CAUSE_DEAD : TCP_CAUSE_NONE;
	case TCPS_TIME_WAIT:
		return TCP_CAUSE_TIME_WAIT;
	default:
		return TCP_CAUSE_NONE;
	}
}

static void set_age(struct tcp_verdict *v, uint64_t ms, enum tcp_age_is is)
{
	if (is == TCP_AGE_EXACT && ms >= UINT32_MAX) /* as much as a sample can say */
		is = TCP_AGE_AT_LEAST;
	v->age_ms = ms;
	v->age_is = (uint8_t)is;
}

/* `least` and `most` bound it: the same but for a tick means that both are it. */
static void set_age_between(struct tcp_verdict *v, uint32_t least, uint32_t most)
{
	set_age(v, least, most <= least + TICK_MS ? TCP_AGE_EXACT : TCP_AGE_AT_LEAST);
}

static void close_wait_age(const struct tcp_sample *s, struct tcp_verdict *v)
{
	if (!s->has_info)
		return;
	if (s->after_fin == TCP_AFTER_FIN_NOTHING)
		set_age(v, s->last_ack_recv_ms, TCP_AGE_EXACT);
	else
		set_age_between(v, s->last_ack_recv_ms, s->last_data_recv_ms);
}

/* What ran before `n` doublings of the timeout and what of the last one has passed. */
static void retransmission_age(const struct tcp_sample *s, struct tcp_verdict *v)
{
	uint64_t age = 0, rto = s->rto_ms;

	if (!s->has_info || s->timer != TCP_TIMER_RETRANSMIT || rto == 0 || rto > RTO_MAX_MS)
		return;
	if (s->timer_ms < rto)
		age = rto - s->timer_ms;
	for (unsigned i = 0; i < s->retransmits && rto > 1; i++)
		age += rto /= 2;
	set_age(v, age, TCP_AGE_AT_LEAST);
}

static void entry_age(const struct tcp_sample *s, uint32_t full_ms, struct tcp_verdict *v)
{
	if (s->timer != TCP_TIMER_NONE && full_ms && s->timer_ms <= full_ms)
		set_age(v, full_ms - s->timer_ms, TCP_AGE_AT_LEAST);
}

/* Everything came before its FIN's ACK but for the peer's later data, which carries ACKs too. */
static void fin_wait2_age(const struct tcp_sample *s, const struct tcp_context *c,
			  struct tcp_verdict *v)
{
	if (!s->inode && s->timer == TCP_TIMER_TIME_WAIT)
		entry_age(s, c->fin_timeout_ms, v);
	else if (s->has_info && s->bytes_sent > 0)
		set_age_between(v, s->last_ack_recv_ms, s->last_data_sent_ms);
	else if (s->has_info)
		set_age(v, s->last_ack_recv_ms, TCP_AGE_AT_LEAST);
}

struct tcp_verdict tcp_verdict(const struct tcp_sample *s, const struct tcp_context *c)
{
	struct tcp_verdict v = { .cause = (uint8_t)cause_of(s, c) };

	switch (s->state) {
	case TCPS_CLOSE_WAIT:
		close_wait_age(s, &v);
		break;
	case TCPS_FIN_WAIT1:
	case TCPS_CLOSING:
	case TCPS_LAST_ACK:
		retransmission_age(s, &v);
		break;
	case TCPS_FIN_WAIT2:
		fin_wait2_age(s, c, &v);
		break;
	case TCPS_TIME_WAIT:
		entry_age(s, TIME_WAIT_MS, &v);
		break;
	default:
		break;
	}
	return v;
}

struct list {
	struct tcp_evidence *out;
	size_t n;
};

static void add(struct list *l, const char *name, int64_t value)
{
	if (l->n < TCP_EVIDENCE_MAX)
		l->out[l->n++] = (struct tcp_evidence){ name, value };
}

static void add_stamps(struct list *l, const struct tcp_sample *s)
{
	if (!s->has_info)
		return;
	add(l, "last_ack_recv_ms", s->last_ack_recv_ms);
	add(l, "last_data_recv_ms", s->last_data_recv_ms);
	if (s->bytes_sent > 0)
		add(l, "last_data_sent_ms", s->last_data_sent_ms);
}

static void add_next(struct list *l, const struct tcp_sample *s)
{
	add(l, "retransmits", s->retransmits);
	if (s->timer != TCP_TIMER_NONE)
		add(l, "next_ms", s->timer_ms);
	add(l, "send_q", s->send_q);
}

size_t tcp_evidence(const struct tcp_sample *s, const struct tcp_verdict *v,
		    const struct tcp_context *c, struct tcp_evidence out[TCP_EVIDENCE_MAX])
{
	struct list l = { out, 0 };

	switch (v->cause) {
	case TCP_CAUSE_UNREAD:
	case TCP_CAUSE_NOT_ACCEPTED:
		add(&l, "recv_q", s->recv_q);
		add_stamps(&l, s);
		break;
	case TCP_CAUSE_TOLD:
	case TCP_CAUSE_DRAINED:
		add(&l, "recv_q", s->recv_q);
		add(&l, "bytes_received", (int64_t)s->bytes_received);
		add_stamps(&l, s);
		break;
	case TCP_CAUSE_SHARED:
	case TCP_CAUSE_NO_DESCRIPTOR:
		add(&l, "processes", c->processes);
		add(&l, "recv_q", s->recv_q);
		add_stamps(&l, s);
		break;
	case TCP_CAUSE_REPLYING:
		add(&l, "send_q", s->send_q);
		add(&l, "bytes_sent", (int64_t)s->bytes_sent);
		add_stamps(&l, s);
		break;
	case TCP_CAUSE_CLOSING:
	case TCP_CAUSE_PEER_GONE:
		add_next(&l, s);
		add(&l, "rto_ms", s->rto_ms);
		break;
	case TCP_CAUSE_SEND_BLOCKED:
		add_next(&l, s);
		add(&l, "notsent_bytes", s->notsent_bytes);
		add(&l, "snd_wnd", s->snd_wnd);
		break;
	case TCP_CAUSE_HALF_CLOSED_HERE:
		add(&l, "bytes_received", (int64_t)s->bytes_received);
		add_stamps(&l, s);
		break;
	case TCP_CAUSE_ORPHAN:
	case TCP_CAUSE_TIME_WAIT:
		add(&l, "ends_in_ms", s->timer_ms);
		break;
	case TCP_CAUSE_DEAD:
		if (s->error || !s->error_waits)
			add(&l, "error", s->error);
		else
			add(&l, "error_waits", 1);
		add(&l, "recv_q", s->recv_q);
		add(&l, "segs_in", (int64_t)s->segs_in);
		add(&l, "last_ack_recv_ms", s->last_ack_recv_ms);
		break;
	default:
		break;
	}
	return l.n;
}
