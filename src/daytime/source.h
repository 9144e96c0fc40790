/* SPDX-License-Identifier: MIT */
/* Who a client is, for limits: an IPv4 address, or the /64 of an IPv6 one, which is what one
 * customer has. Tables of fixed size, filled by strangers: their hash has a secret seed. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define SOURCE_NONE UINT32_MAX

struct source_key {
	uint64_t high, low;
};

/* The key of a peer's address. An IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2) is the IPv4 one. */
struct source_key source_key(const struct sockaddr_in6 *peer);

/* How many connections each source has. There can be no more sources than connections. */
struct sources {
	struct source {
		struct source_key key;
		uint32_t count;
		uint32_t next; /* in its bucket's chain, or in the free list */
	} * entry;
	uint32_t *bucket;
	uint32_t buckets; /* a power of two */
	uint32_t free;
	uint64_t seed;
};

/* Allocates the table; the only allocation. Returns 0 or -ENOMEM. */
int sources_open(struct sources *s, uint32_t size, uint64_t seed);
void sources_free(struct sources *s);

/* Counts one more connection of a source. Returns its index for sources_release(), or SOURCE_NONE
 * where it has `limit` already. */
uint32_t sources_take(struct sources *s, struct source_key key, uint32_t limit);
void sources_release(struct sources *s, uint32_t i);

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
