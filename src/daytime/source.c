/* SPDX-License-Identifier: MIT */
#include "daytime/source.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

int sources_open(struct sources *s, uint32_t size, uint64_t seed)
{
	uint32_t buckets = 16;

	while (buckets < size)
		buckets *= 2;
	*s = (struct sources){ .buckets = buckets, .seed = seed };
	s->entry = calloc(size, sizeof(*s->entry));
	s->bucket = malloc(buckets * sizeof(*s->bucket));
	if (!s->entry || !s->bucket) {
		sources_free(s);
		return -ENOMEM;
	}
	memset(s->bucket, 0xff, buckets * sizeof(*s->bucket)); /* SOURCE_NONE */
	for (uint32_t i = 0; i < size; i++)
		s->entry[i].next = i + 1 < size ? i + 1 : SOURCE_NONE;
	return 0;
}

void sources_free(struct sources *s)
{
	free(s->entry);
	free(s->bucket);
	*s = (struct sources){ 0 };
}

uint32_t sources_take(struct sources *s, struct source_key key, uint32_t limit)
{
	uint32_t *head = &s->bucket[hash(key, s->seed) & (s->buckets - 1)], i;

	for (i = *head; i != SOURCE_NONE; i = s->entry[i].next)
		if (same(s->entry[i].key, key))
			break;
	if (i == SOURCE_NONE) {
		i = s->free;
		if (i == SOURCE_NONE || limit == 0)
			return SOURCE_NONE;
		s->free = s->entry[i].next;
		s->entry[i] = (struct source){ .key = key, .next = *head };
		*head = i;
	}
	if (s->entry[i].count >= limit)
		return SOURCE_NONE;
	s->entry[i].count++;
	return i;
}

void sources_release(struct sources *s, uint32_t i)
{
	struct source *e = &s->entry[i];
	uint32_t *link;

	if (--e->count > 0)
		return;
	link = &s->bucket[hash(e->key, s->seed) & (s->buckets - 1)];
	while (*link != i)
		link = &s->entry[*link].next;
	*link = e->next;
	e->next = s->free;
	s->free = i;
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
