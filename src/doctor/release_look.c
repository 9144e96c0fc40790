/* SPDX-License-Identifier: MIT */
/* What became of both ends. The other end has the same two addresses the other way round. Where one
 * of them is a loopback address it can only be in the same network namespace; else it is looked for
 * in each, and taken for known only where exactly one has it. Behind address translation it is not
 * found. */
#include <arpa/inet.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "doctor/nsdiag.h"
#include "doctor/release.h"
#include "kernel/diag.h"

/* The kernel tells nobody of a change of state: its notices of destroyed sockets (SKNLGRP_INET_*)
 * come for the reader's own network namespace only, and not for an end that turns into TIME_WAIT.
 * So it is asked again, at this pace, until all is settled or the time is up. */
#define LOOK_AGAIN_MS 5

static bool is_loopback(const struct tcp_addr *a)
{
	static const uint8_t v6[16] = { [15] = 1 };

	return a->family == AF_INET ? a->bytes[0] == 127 : !memcmp(a->bytes, v6, sizeof(v6));
}

/* The state of one end now; TCPS_GONE also where another socket has taken its addresses (`cookie`,
 * 0: any). Returns false where it cannot be told. */
static bool state_of(struct release *r, uint32_t netns, uint32_t ifindex,
		     const struct tcp_addr *local, const struct tcp_addr *peer, uint64_t cookie,
		     uint8_t *state)
{
	struct tcp_sample s;
	struct err e;
	int fd = nsdiag(r->census, r->diag, netns, &e);

	if (fd < 0 || diag_lookup_bound(fd, ifindex, local, peer, &s, &e) < 0)
		return false;
	*state = cookie && s.cookie != cookie ? TCPS_GONE : s.state;
	return true;
}

static void find_peer(struct release *r, struct release_item *item)
{
	const struct census_socket *s = &r->census->sockets[item->socket];
	struct tcp_addr local = tcp_addr_plain(&s->s.peer), peer = tcp_addr_plain(&s->s.local);
	bool here_only = is_loopback(&local) || is_loopback(&peer);
	unsigned found = 0;
	uint8_t state;

	for (uint32_t i = 0; i < r->census->netns_n; i++) {
		if ((here_only && i != s->netns) || !state_of(r, i, 0, &local, &peer, 0, &state) ||
		    state == TCPS_GONE)
			continue;
		found++;
		item->peer_netns = i;
		item->peer.before = state;
	}
	item->peer.known = found == 1;
}

/* Returns whether nothing more is to be waited for. */
static bool look_at(struct release *r, struct release_item *item, bool again)
{
	const struct census_socket *s = &r->census->sockets[item->socket];
	struct tcp_addr local = tcp_addr_plain(&s->s.peer), peer = tcp_addr_plain(&s->s.local);

	if (!again) {
		item->own.before = s->s.state;
		find_peer(r, item);
		return true;
	}
	item->own.known = state_of(r, s->netns, item->ifindex, &s->s.local, &s->s.peer, s->s.cookie,
				   &item->own.after);
	if (item->peer.known)
		item->peer.known = state_of(r, item->peer_netns, 0, &local, &peer, 0,
					    &item->peer.after);
	item->looked = true;
	return (!item->own.known || item->own.after == TCPS_GONE) &&
	       (!item->peer.known || item->peer.after == TCPS_GONE ||
		item->peer.after == TCPS_TIME_WAIT);
}

void release_look(struct release *r, bool again, uint32_t wait_ms)
{
	int64_t end = clock_mono_ns() + wait_ms * CLOCK_NS_PER_MS;
	bool settled;

	for (;;) {
		settled = true;
		for (uint32_t i = 0; i < r->n; i++) {
			struct release_item *item = &r->items[i];

			if (item->refusal == RELEASE_QUALIFIES &&
			    (!again || item->result == RELEASE_DONE))
				settled &= look_at(r, item, again);
		}
		if (settled || clock_mono_ns() >= end)
			return;
		nanosleep(&(struct timespec){ .tv_nsec = LOOK_AGAIN_MS * CLOCK_NS_PER_MS }, NULL);
	}
}
