/* SPDX-License-Identifier: MIT */
/* Who a client is, for limits: an IPv4 address, or the /64 of an IPv6 one, which is what one
 * customer has. Tables of fixed size, filled by strangers: their hash has a secret seed. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct source_key {
	uint64_t high, low;
};

/* The key of a peer's address. An IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2) is the IPv4 one. */
struct source_key source_key(const struct sockaddr_in6 *peer);

/* How many connections there are, in all and of each source: one table in memory that all workers
 * share, so that a limit is one however many serve.
 *
 * A cell is a source's: its tag, 44 bits of the keyed hash of the address, and its count. A source
 * lives in any cell of the set that its hash chooses. There is no lock, which a worker that is
 * killed would take with it: who comes adds first, then looks at the sum of all cells with its tag,
 * and takes back what is too much. So two who come at once can both be refused, but a limit is
 * never passed, even where both have begun a cell for the same source. A set has four times the
 * cells that it needs on average when there are as many connections as may be, each of another
 * source; one that is full all the same (4 in a million) refuses. */
struct sources {
	_Atomic uint64_t *cell;
	_Atomic uint64_t *used; /* in all */
	uint64_t sets, seed;
	size_t bytes;
};

enum source_answer {
	SOURCE_TAKEN,
	SOURCE_FULL,     /* this source has as many as it may have */
	SOURCE_ALL_FULL, /* there are as many as there may be */
};

/* Makes the table, for at most `size` connections, in memory that processes forked later share; the
 * only allocation. Returns 0 or -ENOMEM. */
int sources_open(struct sources *s, uint32_t size, uint64_t seed);
void sources_free(struct sources *s);

/* Counts one more connection of a source, unless it has `limit` already or there are `most` in all.
 * `cell` is for sources_release(). */
enum source_answer sources_take(struct sources *s, struct source_key key, uint32_t limit,
				uint32_t most, uint32_t *cell);
void sources_release(struct sources *s, uint32_t cell);

/* A rate: one a `interval`, and `burst` of them at once after a rest. All times are nanoseconds of
 * one clock. Generic cell rate algorithm (ITU-T I.371): one number per source says it all. */
struct rate {
	int64_t interval;
	int64_t burst;
};

/* Whether one more may pass now; `next` is the source's number, 0 at first, changed only if so. */
bool rate_pass(const struct rate *r, int64_t now, int64_t *next);

#define RATES_SETS 1024
#define RATES_WAYS 4

/* The rates of many sources. A source that has rested is forgotten when its place is needed. */
struct rates {
	uint64_t seed;
	struct {
		struct source_key key;
		int64_t next;
	} set[RATES_SETS][RATES_WAYS];
};

/* Whether one more of this source may pass now. Where all places of its set are taken by sources
 * that have not rested it may not: a table that a flood has filled serves nobody new. */
bool rates_pass(struct rates *t, const struct rate *r, struct source_key key, int64_t now);
