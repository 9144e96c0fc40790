/* SPDX-License-Identifier: MIT */
/* Which retransmissions are the lab's own doing.
 *
 * On a busy machine the wire may not run for longer than a retransmission takes. What a host then
 * sends again was not lost: the first copy, or the ACK that answers it, still waited to be carried.
 * Delivered, such a copy would tell of the machine and not of the scenario (a FIN that arrives
 * again in TIME_WAIT is answered, and the answer to a socket that is gone is a reset that ends
 * TIME_WAIT). Pure: the wire tells what it has delivered, and asks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* So many deliveries are remembered: more than wait at once where anything is sent again. */
#define LATE_REMEMBERED 256

struct late_delivery {
	uint16_t conn;
	uint8_t from;      /* enum tl_side: who sent it */
	bool acknowledges; /* `ack` counts */
	uint32_t seq, end; /* sequence numbers as sent; equal where it takes none */
	uint32_t ack;
	int64_t at_ns; /* CLOCK_REALTIME of the delivery; 0: a free place */
};

struct late {
	struct late_delivery deliveries[LATE_REMEMBERED];
	uint32_t next;
};

/* Remembers that a segment has arrived, in the place of the oldest one. */
void late_note(struct late *l, const struct late_delivery *d);

/* Whether a segment (its `at_ns` is when its host sent it) brings again what had been sent before,
 * and what was sent before, or an ACK of it, arrived only after this was sent. */
bool late_is_ours(const struct late *l, const struct late_delivery *again);
