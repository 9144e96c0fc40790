/* SPDX-License-Identifier: MIT */
#include "lab/late.h"

void late_note(struct late *l, const struct late_delivery *d)
{
	l->deliveries[l->next++ % LATE_REMEMBERED] = *d;
}

/* Whether sequence number a is not after b (RFC 9293 §3.4: they wrap). */
static bool not_after(uint32_t a, uint32_t b)
{
	return (int32_t)(b - a) >= 0;
}

bool late_is_ours(const struct late *l, const struct late_delivery *again)
{
	if (again->seq == again->end || again->at_ns == 0)
		return false;
	for (uint32_t i = 0; i < LATE_REMEMBERED; i++) {
		const struct late_delivery *d = &l->deliveries[i];

		if (d->at_ns <= again->at_ns || d->conn != again->conn)
			continue;
		if (d->from == again->from
			    ? not_after(d->seq, again->seq) && not_after(again->end, d->end)
			    : d->acknowledges && not_after(again->end, d->ack))
			return true;
	}
	return false;
}
