/* SPDX-License-Identifier: MIT */
#include "daytime/source.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

struct source_key source_key(const struct sockaddr_in6 *peer)
{
	struct source_key k = { 0 };
	uint32_t v4;

	if (peer->sin6_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, peer, sizeof(in));
		k.low = 0xffff00000000ULL | in.sin_addr.s_addr;
	} else if (IN6_IS_ADDR_V4MAPPED(&peer->sin6_addr)) {
		memcpy(&v4, &peer->sin6_addr.s6_addr[12], sizeof(v4));
		k.low = 0xffff00000000ULL | v4;
	} else {
		memcpy(&k.high, peer->sin6_addr.s6_addr, sizeof(k.high));
		k.low = UINT64_MAX; /* no IPv4 key: ::/64 is a source too */
	}
	return k;
}

/* The finaliser of MurmurHash3, over the key and the seed. */
static uint64_t mix(uint64_t h)
{
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdULL;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53ULL;
	return h ^ h >> 33;
}

static uint64_t hash(struct source_key k, uint64_t seed)
{
	return mix(mix(k.high ^ seed) + k.low);
}

static bool same(struct source_key a, struct source_key b)
{
	return a.high == b.high && a.low == b.low;
}

#define WAYS       16 /* cells of a set: two cache lines */
#define COUNT_BITS 20
#define COUNT_MASK ((1ULL << COUNT_BITS) - 1)

int sources_open(struct sources *s, uint32_t size, uint64_t seed)
{
	uint64_t sets = 1;
	size_t bytes;
	void *p;

	while (sets * WAYS < 4ULL * size)
		sets *= 2;
	bytes = (sets * WAYS + 8) * sizeof(*s->cell); /* `used` has a cache line of its own */
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -ENOMEM;
	*s = (struct sources){ .cell = p, .sets = sets, .seed = seed, .bytes = bytes };
	s->used = s->cell + sets * WAYS;
	return 0;
}

void sources_free(struct sources *s)
{
	if (s->cell)
		munmap(s->cell, s->bytes);
	*s = (struct sources){ 0 };
}

/* Adds one to a cell with this tag of the set at `first`, or begins one. Returns it, or NULL where
 * the set is full. */
static _Atomic uint64_t *add(_Atomic uint64_t *first, uint64_t tag)
{
	for (;;) {
		_Atomic uint64_t *found = NULL;
		uint64_t was = 0;

		for (int w = 0; w < WAYS; w++) {
			uint64_t now = atomic_load(&first[w]);

			if (now & COUNT_MASK && (now & ~COUNT_MASK) == tag) {
				found = &first[w];
				was = now;
				break;
			}
			if (!(now & COUNT_MASK) && !found) {
				found = &first[w];
				was = now;
			}
		}
		if (!found)
			return NULL;
		if (atomic_compare_exchange_strong(found, &was, tag | ((was & COUNT_MASK) + 1)))
			return found;
	}
}

/* How many connections all cells of this tag have. */
static uint64_t sum(_Atomic uint64_t *first, uint64_t tag)
{
	uint64_t n = 0;

	for (int w = 0; w < WAYS; w++) {
		uint64_t now = atomic_load(&first[w]);

		n += (now & ~COUNT_MASK) == tag ? now & COUNT_MASK : 0;
	}
	return n;
}

void sources_release(struct sources *s, uint32_t cell)
{
	atomic_fetch_sub(&s->cell[cell], 1);
	atomic_fetch_sub(s->used, 1);
}

enum source_answer sources_take(struct sources *s, struct source_key key, uint32_t limit,
				uint32_t most, uint32_t *cell)
{
	uint64_t h = hash(key, s->seed), tag = h & ~COUNT_MASK;
	_Atomic uint64_t *first = &s->cell[(h & (s->sets - 1)) * WAYS], *mine;

	if (atomic_fetch_add(s->used, 1) >= most) {
		atomic_fetch_sub(s->used, 1);
		return SOURCE_ALL_FULL;
	}
	mine = add(first, tag);
	if (!mine) {
		atomic_fetch_sub(s->used, 1);
		return SOURCE_FULL;
	}
	if (sum(first, tag) > limit) {
		sources_release(s, (uint32_t)(mine - s->cell));
		return SOURCE_FULL;
	}
	*cell = (uint32_t)(mine - s->cell);
	return SOURCE_TAKEN;
}

bool rate_pass(const struct rate *r, int64_t now, int64_t *next)
{
	int64_t due = *next > now ? *next : now;

	if (due - now > r->interval * (r->burst - 1))
		return false;
	*next = due + r->interval;
	return true;
}

bool rates_pass(struct rates *t, const struct rate *r, struct source_key key, int64_t now)
{
	uint64_t h = hash(key, t->seed) % RATES_SETS;
	int least = 0;

	for (int w = 0; w < RATES_WAYS; w++) {
		if (t->set[h][w].next > 0 && same(t->set[h][w].key, key))
			return rate_pass(r, now, &t->set[h][w].next);
		if (t->set[h][w].next < t->set[h][least].next)
			least = w;
	}
	if (t->set[h][least].next > now)
		return false;
	t->set[h][least].key = key;
	t->set[h][least].next = 0;
	return rate_pass(r, now, &t->set[h][least].next);
}
