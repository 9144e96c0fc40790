/* SPDX-License-Identifier: MIT */
/* The connections being served: a table of fixed size, threaded into queues in order of deadline.
 * All that wait in one queue wait equally long, so its head is always the first to be due. */
#pragma once

#include <netinet/in.h>
#include <stdint.h>

#define CONN_NONE UINT32_MAX

enum conn_queue {
	CONN_FREE,
	CONN_HOLDING,  /* replied to; our FIN is held back, and nothing is read */
	CONN_FRESH,    /* our FIN is sent; likely to be closed by the client any moment */
	CONN_DRAINING, /* our FIN is sent; reads on to the end of the stream, when the epoll says so
			*/
	CONN_QUEUES
};

struct conn {
	int fd;
	uint32_t prev, next;
	enum conn_queue queue;
	uint32_t source;  /* index in the table of sources */
	uint64_t drained; /* bytes read after the reply */
	int64_t deadline; /* CLOCK_MONOTONIC, nanoseconds */
	struct sockaddr_in6 peer;
};

struct conns {
	struct conn *slot;
	uint32_t size;
	uint32_t used;
	uint32_t fresh; /* of these, in CONN_FRESH */
	struct {
		uint32_t head, tail;
	} queue[CONN_QUEUES];
};

/* Allocates the table; the only allocation. Returns 0 or -ENOMEM. */
int conns_open(struct conns *c, uint32_t size);
void conns_free(struct conns *c);

/* Takes a free slot into `queue`, at its end. Returns its index, or CONN_NONE where all are used.
 */
uint32_t conns_add(struct conns *c, int fd, enum conn_queue queue, int64_t deadline);

/* Moves a connection to the end of another queue; CONN_FREE gives the slot back. The descriptor is
 * the caller's to close. */
void conns_move(struct conns *c, uint32_t i, enum conn_queue queue, int64_t deadline);

/* The first of a queue, or CONN_NONE. */
static inline uint32_t conns_first(const struct conns *c, enum conn_queue queue)
{
	return c->queue[queue].head;
}
