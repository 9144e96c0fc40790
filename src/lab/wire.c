/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * Each host's eth0 is one end of a veth pair. The other end is here, with an AF_PACKET socket on
 * it: what a host's kernel transmits arrives in that socket, and what we send there arrives at the
 * host. Nothing else connects the two hosts, so a frame arrives when, and only when, wire_carry()
 * sends it on.
 *
 * veth hands a frame to the receiving stack inside our send(2): netif_rx() runs when bottom halves
 * are enabled again, before send() returns. Both kernels, asked right after, are therefore in their
 * new states already; the reply, if any, waits in our other socket meanwhile. So wire_carry() takes
 * a frame; asks both kernels, of which the sender's has moved on (`before`); sends the frame on;
 * and asks both again (`after`).
 *
 * Frames of both hosts may wait at once: the kernel's receive stamps tell which was sent first.
 * Where this process was not run for so long that a host has sent something again meanwhile, the
 * second copy is left out (late.h).
 *
 * What is not TCP (neighbour discovery, if any) is carried and not recorded.
 */
#include "lab/wire.h"

#include <errno.h>
#include <limits.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "lab/forge.h"

/* How long a frame waits for another of its host to overtake it. */
#define OVERTAKE_US 20000

void wire_start(struct wire *w, const struct lab_net *net, struct record *rec, uint64_t seed,
		uint32_t loss)
{
	memset(w, 0, sizeof(*w));
	w->net = net;
	w->rec = rec;
	w->seed = seed;
	w->loss = loss;
}

/* splitmix64's mixing: small, the same everywhere. */
static uint64_t mix(uint64_t z)
{
	z += 0x9e3779b97f4a7c15ULL;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* Whether chance takes the `count`th frame of a host, for the purpose with this number. */
static bool chance(const struct wire *w, uint64_t purpose, enum tl_side from, uint64_t count,
		   uint32_t percent)
{
	return mix(mix(mix(w->seed) ^ (purpose * 2 + from)) ^ count) % 100 < percent;
}

/* Fills a host's slot with its next frame. Returns 0, also where none waits, or -errno. */
static int fill_slot(struct wire *w, enum tl_side side)
{
	struct wire_frame *f = &w->slot[side];
	char control[128] __attribute__((aligned(8)));
	struct iovec iov = { f->bytes, sizeof(f->bytes) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	ssize_t n;

	if (f->used)
		return 0;
	n = recvmsg(w->net->packet[side], &msg, MSG_DONTWAIT | MSG_TRUNC);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR || errno == ENETDOWN ? 0 : -errno;
	if ((size_t)n > sizeof(f->bytes))
		return -EMSGSIZE;
	f->used = true;
	f->from = (uint8_t)side;
	f->len = (uint16_t)n;
	w->slot_ns[side] = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		struct timespec ts;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_TIMESTAMPNS)
			continue;
		memcpy(&ts, CMSG_DATA(c), sizeof(ts));
		w->slot_ns[side] = ts.tv_sec * CLOCK_NS_PER_S + ts.tv_nsec;
	}
	return 0;
}

/* Sends a frame into the host opposite to where it came from. A host whose interface is down gets
 * nothing, as on a real wire. */
static int put(struct wire *w, const struct wire_frame *f)
{
	int fd = w->net->packet[!f->from];

	while (send(fd, f->bytes, f->len, 0) < 0) {
		if (errno == EINTR)
			continue;
		return errno == ENETDOWN || errno == ENXIO || errno == ENOBUFS ? 0 : -errno;
	}
	return 0;
}

/* Finds the connection of a segment, or makes it: a SYN's sender is the client. */
static uint16_t conn_of(struct wire *w, enum tl_side from, const struct tcp_segment *seg)
{
	const struct tl_run *run = w->rec->run;
	uint16_t conn = record_find_conn(w->rec, from, &seg->src, &seg->dst);
	bool opens = (seg->flags & (TL_SYN | TL_ACK)) == TL_SYN;

	if (conn != TL_NO_CONN) {
		const struct tl_state *last = w->rec->last[conn];
		const struct tl_conn *c = &run->conns[conn];
		bool over = last[from].state == TCPS_GONE || last[from].state == TCPS_TIME_WAIT;

		if (!opens || !over || !c->isn_known[from] || c->isn[from] == seg->seq)
			return conn;
	}
	if (!opens && run->nconns == TL_MAX_CONNS) /* its SYN was counted as lost */
		return TL_NO_CONN;
	/* A simultaneous open has two SYNs: the first one's sender is called the client. */
	if (from == TL_SERVER)
		return record_add_conn(w->rec, &seg->dst, &seg->src);
	return record_add_conn(w->rec, &seg->src, &seg->dst);
}

static bool rule_matches(const struct wire_rule *r, enum tl_side from,
			 const struct tcp_segment *seg)
{
	return (r->from == TL_NOBODY || r->from == from) &&
	       (seg->flags & r->flags_set) == r->flags_set && !(seg->flags & r->flags_clear) &&
	       (!r->only_data || seg->len > 0) && (!r->only_empty || seg->len == 0) &&
	       (r->length < 0 || seg->len == r->length);
}

/* The rule that chooses this packet, or NULL. Each rule counts every match it sees. */
static const struct wire_rule *choose(struct wire *w, enum tl_side from,
				      const struct tcp_segment *seg)
{
	for (int i = 0; i < WIRE_MAX_RULES; i++) {
		struct wire_rule *r = &w->rules[i];

		if (!r->active || !rule_matches(r, from, seg) || r->seen++ < r->skip)
			continue;
		if (r->times && r->chosen >= r->times)
			continue;
		if (r->percent && !chance(w, (uint64_t)i + 1, from, r->seen, r->percent))
			continue;
		r->chosen++;
		if (r->action != WIRE_WATCH)
			return r;
	}
	return NULL;
}

static int enqueue(struct wire *w, const struct wire_frame *f, int64_t due_us)
{
	for (int i = 0; i < WIRE_MAX_QUEUED; i++) {
		struct wire_frame *q = &w->queued[i];

		if (q->used)
			continue;
		*q = *f;
		q->used = true;
		q->due_us = due_us;
		q->order = w->orders++;
		return 0;
	}
	return -ENOSPC;
}

/* Records a segment with what became of it, delivering it in between where that is its fate. */
static int carry_of(struct wire *w, uint16_t conn, const struct wire_frame *f,
		    const struct tcp_segment *seg, enum tl_fate fate, struct err *e)
{
	bool arrives = fate != TL_DROPPED && fate != TL_HELD;
	struct tl_state states[2];
	struct tl_event *v;
	int r;

	if (conn == TL_NO_CONN) /* counted in conns_lost; carried all the same */
		return arrives ? put(w, f) : 0;
	r = record_ask(w->rec, conn, states, e);
	if (r < 0)
		return r;
	v = record_packet(w->rec, f->from, conn, seg, f->bytes, f->len, fate, states);
	if (arrives) {
		r = put(w, f);
		if (r < 0)
			return err_errno(e, r, "delivering a frame");
		r = record_ask(w->rec, conn, states, e);
		if (r < 0)
			return r;
	}
	record_after(w->rec, v, conn, states);
	return 0;
}

static int carry_segment(struct wire *w, const struct wire_frame *f, const struct tcp_segment *seg,
			 enum tl_fate fate, struct err *e)
{
	return carry_of(w, conn_of(w, f->from, seg), f, seg, fate, e);
}

static int carry_queued(struct wire *w, struct wire_frame *q, struct err *e)
{
	struct tcp_segment seg;

	q->used = false;
	if (!segment_decode(q->bytes, q->len, &seg))
		return 0;
	return carry_segment(w, q, &seg, w->cut ? TL_DROPPED : TL_RELEASED, e);
}

/* Whether chance takes this frame. The handshake is spared: it is repeated after whole seconds
 * only, and no verdict is about it. */
static bool lost_by_chance(struct wire *w, enum tl_side from, const struct tcp_segment *seg)
{
	uint64_t count = w->taken[from]++;
	uint16_t conn = record_find_conn(w->rec, from, &seg->src, &seg->dst);
	const uint32_t opening = TCP_BIT(TCPS_SYN_SENT) | TCP_BIT(TCPS_SYN_RECV) |
				 TCP_BIT(TCPS_NEW_SYN_RECV);

	if (!w->loss || conn == TL_NO_CONN || seg->flags & TL_SYN ||
	    TCP_BIT(w->rec->last[conn][!from].state) & opening)
		return false;
	return chance(w, 0, from, count, w->loss);
}

/* Delivers what was to be overtaken, now that another frame of that host has arrived. */
static int carry_overtaken(struct wire *w, enum tl_side from, struct err *e)
{
	int r = 0;

	for (int i = 0; i < WIRE_MAX_QUEUED && r == 0; i++)
		if (w->queued[i].used && w->queued[i].overtaken && w->queued[i].from == from)
			r = carry_queued(w, &w->queued[i], e);
	return r;
}

static int hold(struct wire *w, const struct wire_frame *f, const struct wire_rule *rule,
		struct err *e)
{
	struct wire_frame copy = *f;
	int64_t by = rule->action == WIRE_REORDER ? OVERTAKE_US : rule->delay_us;
	int r;

	copy.overtaken = rule->action == WIRE_REORDER;
	r = enqueue(w, &copy, rule->action == WIRE_HOLD ? INT64_MAX : record_now_us(w->rec) + by);
	return r < 0 ? err_set(e, r, "more than %d packets are held on the wire", WIRE_MAX_QUEUED)
		     : 0;
}

/* A segment as lateness sees it, sent or delivered at `at_ns`. */
static struct late_delivery delivery_of(const struct wire *w, enum tl_side from,
					const struct tcp_segment *seg, int64_t at_ns)
{
	return (struct late_delivery){
		.conn = record_find_conn(w->rec, from, &seg->src, &seg->dst),
		.from = (uint8_t)from,
		.acknowledges = seg->flags & TL_ACK,
		.seq = seg->seq,
		.end = seg->seq + segment_seq_len(seg),
		.ack = seg->ack,
		.at_ns = at_ns,
	};
}

/* Whether a segment is only here because we were late: that is counted, and leaves no other trace.
 */
static bool is_late(struct wire *w, const struct wire_frame *f, const struct tcp_segment *seg)
{
	struct late_delivery d = delivery_of(w, f->from, seg, w->slot_ns[f->from]);

	if (d.conn == TL_NO_CONN || !late_is_ours(&w->late, &d))
		return false;
	w->rec->run->late++;
	return true;
}

/* Delivers a segment that nothing has taken. */
static int deliver(struct wire *w, struct wire_frame *f, const struct tcp_segment *seg,
		   struct err *e)
{
	struct late_delivery d;
	struct timespec now;
	int r = carry_segment(w, f, seg, TL_DELIVERED, e);

	if (r < 0)
		return r;
	clock_gettime(CLOCK_REALTIME, &now); /* as the kernel stamps frames */
	d = delivery_of(w, f->from, seg, now.tv_sec * CLOCK_NS_PER_S + now.tv_nsec);
	late_note(&w->late, &d);
	return carry_overtaken(w, f->from, e);
}

static int carry_new(struct wire *w, struct wire_frame *f, struct err *e)
{
	const struct wire_rule *rule;
	struct tcp_segment seg;
	int r;

	if (!segment_decode(f->bytes, f->len, &seg))
		return w->cut ? 0 : put(w, f);
	if (w->cut)
		return carry_segment(w, f, &seg, TL_DROPPED, e);
	rule = choose(w, f->from, &seg);
	if (!rule && is_late(w, f, &seg))
		return 0;
	if (!rule && lost_by_chance(w, f->from, &seg))
		return carry_segment(w, f, &seg, TL_DROPPED, e);
	if (!rule)
		return deliver(w, f, &seg, e);
	switch (rule->action) {
	case WIRE_DUPLICATE:
		r = carry_segment(w, f, &seg, TL_DELIVERED, e);
		return r < 0 ? r : carry_segment(w, f, &seg, TL_DUPLICATED, e);
	case WIRE_HOLD:
	case WIRE_DELAY:
	case WIRE_REORDER:
		r = hold(w, f, rule, e);
		return r < 0 ? r : carry_segment(w, f, &seg, TL_HELD, e);
	default:
		return carry_segment(w, f, &seg, TL_DROPPED, e);
	}
}

/* The queued frame that is due first, or NULL. */
static struct wire_frame *first_due(struct wire *w, int64_t now_us, bool reverse)
{
	struct wire_frame *best = NULL;

	for (int i = 0; i < WIRE_MAX_QUEUED; i++) {
		struct wire_frame *q = &w->queued[i];

		if (!q->used || q->due_us > now_us)
			continue;
		if (!best || (q->order < best->order) != reverse)
			best = q;
	}
	return best;
}

int wire_carry(struct wire *w, struct err *e)
{
	struct wire_frame *due;
	int side, r;

	if (w->net->loopback)
		return 0;
	due = first_due(w, record_now_us(w->rec), false);
	if (due) {
		r = carry_queued(w, due, e);
		return r < 0 ? r : 1;
	}
	for (side = 0; side < 2; side++) {
		r = fill_slot(w, side);
		if (r < 0)
			return err_errno(e, r, "taking a frame off the wire");
	}
	if (!w->slot[0].used && !w->slot[1].used)
		return 0;
	side = !w->slot[0].used || (w->slot[1].used && w->slot_ns[1] < w->slot_ns[0]);
	w->slot[side].used = false;
	r = carry_new(w, &w->slot[side], e);
	return r < 0 ? r : 1;
}

bool wire_has_more(const struct wire *w)
{
	struct pollfd fds[2] = { { w->net->packet[0], POLLIN, 0 },
				 { w->net->packet[1], POLLIN, 0 } };

	return w->slot[0].used || w->slot[1].used || poll(fds, 2, 0) > 0;
}

uint32_t wire_overflowed(struct wire *w)
{
	for (int side = 0; side < 2; side++) {
		struct tpacket_stats stats = { 0 }; /* since it was last asked */
		socklen_t len = sizeof(stats);

		if (getsockopt(w->net->packet[side], SOL_PACKET, PACKET_STATISTICS, &stats, &len) ==
		    0)
			w->overflowed += stats.tp_drops;
	}
	return w->overflowed;
}

int64_t wire_next_due_us(const struct wire *w)
{
	int64_t next = INT64_MAX, now = record_now_us(w->rec);

	for (int i = 0; i < WIRE_MAX_QUEUED; i++)
		if (w->queued[i].used && w->queued[i].due_us < next)
			next = w->queued[i].due_us;
	if (next == INT64_MAX)
		return -1;
	return next > now ? next - now : 0;
}

int wire_add_rule(struct wire *w, const struct wire_rule *rule)
{
	for (int i = 0; i < WIRE_MAX_RULES; i++) {
		if (w->rules[i].active)
			continue;
		w->rules[i] = *rule;
		w->rules[i].active = true;
		return i;
	}
	return -ENOSPC;
}

int64_t wire_rule_chosen(const struct wire *w, int number)
{
	if (number < 0 || number >= WIRE_MAX_RULES)
		return -ENOENT;
	return w->rules[number].chosen;
}

void wire_end_rule(struct wire *w, int number)
{
	for (int i = 0; i < WIRE_MAX_RULES; i++)
		if (number < 0 || number == i)
			w->rules[i].active = false;
}

int wire_release(struct wire *w, bool reverse, struct err *e)
{
	struct wire_frame *q;
	int n = 0, r;

	while ((q = first_due(w, INT64_MAX, reverse))) {
		r = carry_queued(w, q, e);
		if (r < 0)
			return r;
		n++;
	}
	return n;
}

int wire_inject(struct wire *w, uint16_t conn, enum tl_side to, uint8_t flags, uint32_t seq,
		uint32_t ack, uint16_t len, struct err *e)
{
	const struct tl_conn *c = &w->rec->run->conns[conn];
	struct wire_frame f = { .from = (uint8_t)!to };
	struct forge_segment forged = {
		.src = c->addr[!to],
		.dst = c->addr[to],
		.flags = flags,
		.seq = c->isn[!to] + seq,
		.ack = flags & TL_ACK ? c->isn[to] + ack : 0,
		.len = len,
	};
	struct tcp_segment seg;

	memcpy(forged.src_mac, w->net->mac[!to], 6);
	memcpy(forged.dst_mac, w->net->mac[to], 6);
	f.len = (uint16_t)forge_frame(&forged, f.bytes, sizeof(f.bytes));
	if (!segment_decode(f.bytes, f.len, &seg))
		return err_set(e, -EINVAL, "the made-up packet is no TCP segment");
	return carry_of(w, conn, &f, &seg, TL_INJECTED, e);
}
