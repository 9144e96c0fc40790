/* SPDX-License-Identifier: MIT */
#include "doctor/ends.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "kernel/bpf/watch.h"

#define FIRST_CAP 256

/* At most three of four slots are taken: a probe is short. */
#define FIRST_SLOTS 1024u

/* Owners that lie apart from the end. */
#define MORE (TW_MAX_OWNERS - 1)

int ends_init(struct ends *t)
{
	*t = (struct ends){ .slots = calloc(FIRST_SLOTS, sizeof(*t->slots)),
			    .pairs = calloc(FIRST_SLOTS, sizeof(*t->pairs)),
			    .mask = FIRST_SLOTS - 1 };
	if (t->slots && t->pairs)
		return 0;
	ends_free(t);
	return -ENOMEM;
}

void ends_drop_owners(struct ends *t, struct open_end *end)
{
	holders_put(&t->holders, end->first.holder);
	for (uint32_t i = 0; end->more && i < MORE; i++)
		holders_put(&t->holders, end->more[i].holder);
	free(end->more);
	end->more = NULL;
	end->first = (struct end_owner){ 0 };
	end->owner_count = 0;
	end->shared = false;
}

void ends_hide(struct ends *t, struct open_end *end, bool hidden)
{
	t->hidden += (uint32_t)hidden - end->hidden;
	end->hidden = hidden;
}

static void release(struct ends *t, struct open_end *end)
{
	ends_hide(t, end, false);
	ends_drop_owners(t, end);
	if (end->family && end->family != AF_INET)
		free(end->address.v6);
	*end = (struct open_end){ 0 };
}

void ends_free(struct ends *t)
{
	for (uint32_t i = 0; i < t->used; i++)
		release(t, &t->v[i]);
	holders_free(&t->holders);
	free(t->v);
	free(t->slots);
	free(t->pairs);
	*t = (struct ends){ 0 };
}

static uint32_t mix(uint64_t key)
{
	return (uint32_t)(key * 0x9e3779b97f4a7c15ULL >> 32);
}

static uint32_t sk_home(const struct ends *t, const struct open_end *end)
{
	return mix(end->sk) & t->mask;
}

const uint8_t *ends_local(const struct open_end *end)
{
	return end->family == AF_INET ? end->address.v4[0] : end->address.v6[0];
}

const uint8_t *ends_peer(const struct open_end *end)
{
	return end->family == AF_INET ? end->address.v4[1] : end->address.v6[1];
}

static uint32_t mix_address(const struct open_end *end, const uint8_t *bytes, uint16_t port)
{
	uint64_t word;

	/* An IPv4 address is also the end of the IPv6 one that maps it. */
	memcpy(&word, bytes + (end->family == AF_INET ? 0 : 12), 4);
	return mix((word & UINT32_MAX) << 16 | port);
}

/* The same from both ends. */
static uint32_t pair_home(const struct ends *t, const struct open_end *end)
{
	return (mix_address(end, ends_local(end), end->local_port) +
		mix_address(end, ends_peer(end), end->peer_port)) &
	       t->mask;
}

static uint32_t slot_of(const struct ends *t, uint64_t sk)
{
	struct open_end key = { .sk = sk };
	uint32_t at = sk_home(t, &key);

	while (t->slots[at] && t->v[t->slots[at] - 1].sk != sk)
		at = (at + 1) & t->mask;
	return at;
}

/* The item's slot, or the free one in which its probe ends. */
static uint32_t pair_slot_of(const struct ends *t, uint32_t item)
{
	uint32_t at = pair_home(t, &t->v[item - 1]);

	while (t->pairs[at] && t->pairs[at] != item)
		at = (at + 1) & t->mask;
	return at;
}

/* Empties a slot: what was probed past it moves up. */
static void vacate(const struct ends *t, uint32_t *slots, uint32_t hole,
		   uint32_t (*home)(const struct ends *, const struct open_end *))
{
	for (uint32_t at = (hole + 1) & t->mask; slots[at]; at = (at + 1) & t->mask) {
		uint32_t from = home(t, &t->v[slots[at] - 1]);

		if (((at - from) & t->mask) < ((at - hole) & t->mask))
			continue; /* its probe begins behind the hole */
		slots[hole] = slots[at];
		hole = at;
	}
	slots[hole] = 0;
}

static void unpair(struct ends *t, uint32_t item)
{
	uint32_t at;

	if (!t->v[item - 1].family)
		return;
	at = pair_slot_of(t, item);
	if (t->pairs[at])
		vacate(t, t->pairs, at, pair_home);
}

int ends_set_address(struct ends *t, struct open_end *end, const struct end_address *a)
{
	uint32_t item = (uint32_t)(end - t->v) + 1;

	if (a->family == AF_INET) {
		memcpy(end->address.v4[0], a->local, 4);
		memcpy(end->address.v4[1], a->peer, 4);
	} else {
		end->address.v6 = malloc(2 * sizeof(*end->address.v6));
		if (!end->address.v6)
			return -ENOMEM;
		memcpy(end->address.v6[0], a->local, 16);
		memcpy(end->address.v6[1], a->peer, 16);
	}
	end->family = a->family;
	end->local_port = a->local_port;
	end->peer_port = a->peer_port;
	t->pairs[pair_slot_of(t, item)] = item;
	return 0;
}

/* The four bytes of an IPv4 address, also in its IPv6 form; NULL: it is another one. */
static const uint8_t *as_v4(const struct open_end *end, const uint8_t *bytes)
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

	if (end->family == AF_INET)
		return bytes;
	return memcmp(bytes, prefix, sizeof(prefix)) ? NULL : bytes + sizeof(prefix);
}

static bool same_address(const struct open_end *a, const uint8_t *bytes_a, const struct open_end *b,
			 const uint8_t *bytes_b)
{
	const uint8_t *v4_a = as_v4(a, bytes_a), *v4_b = as_v4(b, bytes_b);

	if (v4_a && v4_b)
		return !memcmp(v4_a, v4_b, 4);
	return !v4_a && !v4_b && !memcmp(bytes_a, bytes_b, 16);
}

static bool is_loopback(const struct open_end *end)
{
	static const uint8_t one[16] = { [15] = 1 };

	const uint8_t *v4 = as_v4(end, ends_peer(end));

	return v4 ? v4[0] == 127 : !memcmp(ends_peer(end), one, 16);
}

/* Whether one end sent the first FIN, and the other got just that. Numbers start anew with each
 * connection, so that another one has the same by one chance in 2^32. */
static bool share_a_fin(const struct open_end *a, const struct open_end *b)
{
	const struct open_end *closer = a->flags & WATCH_HOLDER ? b : a;

	return (a->flags ^ b->flags) & WATCH_HOLDER && closer->flags & WATCH_CLOSED &&
	       a->first_fin == b->first_fin;
}

static bool are_partners(const struct open_end *a, const struct open_end *b)
{
	return share_a_fin(a, b) && a->local_port == b->peer_port &&
	       a->peer_port == b->local_port && same_address(a, ends_local(a), b, ends_peer(b)) &&
	       same_address(a, ends_peer(a), b, ends_local(b)) &&
	       (a->netns == b->netns || !is_loopback(a));
}

struct open_end *ends_partner(const struct ends *t, const struct open_end *end)
{
	for (uint32_t at = pair_home(t, end); t->pairs[at]; at = (at + 1) & t->mask) {
		struct open_end *other = &t->v[t->pairs[at] - 1];

		if (other != end && are_partners(end, other))
			return other;
	}
	return NULL;
}

struct open_end *ends_find(const struct ends *t, uint64_t sk)
{
	uint32_t at = slot_of(t, sk);

	return t->slots[at] ? &t->v[t->slots[at] - 1] : NULL;
}

static int grow(struct ends *t)
{
	uint32_t cap = t->cap ? t->cap + t->cap / 2 : FIRST_CAP;
	struct open_end *v = reallocarray(t->v, cap, sizeof(*v));

	if (!v)
		return -ENOMEM;
	t->v = v;
	t->cap = cap;
	return 0;
}

/* Puts all ends into twice as many slots. */
static int spread(struct ends *t)
{
	uint32_t n = (t->mask + 1) * 2;
	uint32_t *slots = calloc(n, sizeof(*slots)), *pairs = calloc(n, sizeof(*pairs));

	if (!slots || !pairs) {
		free(slots);
		free(pairs);
		return -ENOMEM;
	}
	free(t->slots);
	free(t->pairs);
	t->slots = slots;
	t->pairs = pairs;
	t->mask = n - 1;
	for (uint32_t i = 0; i < t->used; i++) {
		if (!t->v[i].sk)
			continue;
		slots[slot_of(t, t->v[i].sk)] = i + 1;
		if (t->v[i].family)
			pairs[pair_slot_of(t, i + 1)] = i + 1;
	}
	return 0;
}

/* The free items form a list through `began`, which holds the next one's index plus 1. */
static uint32_t take_item(struct ends *t)
{
	uint32_t item = t->free;

	if (item) {
		t->free = (uint32_t)t->v[item - 1].began;
		return item;
	}
	if (t->used == t->cap && grow(t))
		return 0;
	return ++t->used;
}

struct open_end *ends_insert(struct ends *t, uint64_t sk)
{
	uint32_t at, item;

	if (t->count * 4 / 3 > t->mask && t->count < ENDS_MAX && spread(t))
		return NULL;
	at = slot_of(t, sk);
	item = t->slots[at];
	if (item) {
		unpair(t, item);
		release(t, &t->v[item - 1]);
	} else {
		item = t->count < ENDS_MAX ? take_item(t) : 0;
		if (!item)
			return NULL;
		t->slots[at] = item;
		t->count++;
	}
	t->v[item - 1] = (struct open_end){ .sk = sk };
	return &t->v[item - 1];
}

void ends_remove(struct ends *t, struct open_end *end)
{
	uint32_t at = slot_of(t, end->sk), item = t->slots[at];

	unpair(t, item);
	vacate(t, t->slots, at, sk_home);
	release(t, end);
	end->began = t->free;
	t->free = item;
	t->count--;
}

/* Owner number `i`, less than owner_count and TW_MAX_OWNERS; NULL where it was not kept. */
static const struct end_owner *kept_owner(const struct open_end *end, uint32_t i)
{
	const struct end_owner *o = &end->first;

	if (i > 0)
		o = end->more ? &end->more[i - 1] : NULL;
	return o && o->holder ? o : NULL;
}

bool ends_owner(const struct ends *t, const struct open_end *end, uint32_t i, struct tw_owner *out)
{
	const struct end_owner *o = NULL;

	if (i < end->owner_count && i < TW_MAX_OWNERS)
		o = kept_owner(end, i);
	if (!o)
		return false;
	*out = holders_at(&t->holders, o->holder)->who;
	out->fd = o->fd;
	return true;
}

uint32_t ends_processes(const struct ends *t, const struct open_end *end)
{
	struct tw_owner a, b;
	uint32_t n = 0;

	for (uint32_t i = 0; ends_owner(t, end, i, &a); i++) {
		bool seen = false;

		for (uint32_t k = 0; k < i && ends_owner(t, end, k, &b); k++)
			seen |= a.pid == b.pid;
		n += !seen;
	}
	return end->shared && n < 2 ? 2 : n;
}

/* Whether it is to be named before the first: a copy that a fork made is younger than the process
 * that it is a copy of, whatever their numbers. */
static bool goes_first(const struct ends *t, const struct open_end *end,
		       const struct tw_owner *owner)
{
	struct tw_owner first;

	return ends_owner(t, end, 0, &first) && owner->start_ns < first.start_ns;
}

void ends_add_owner(struct ends *t, struct open_end *end, const struct tw_owner *owner)
{
	uint32_t kept = end->owner_count < TW_MAX_OWNERS ? end->owner_count : TW_MAX_OWNERS;
	struct end_owner fresh, *space = &end->first;
	bool first = goes_first(t, end, owner);
	struct tw_owner o;

	for (uint32_t i = 0; i < kept; i++)
		if (ends_owner(t, end, i, &o) && o.pid == owner->pid && o.fd == owner->fd)
			return;
	end->shared |= ends_owner(t, end, 0, &o) && o.pid != owner->pid;
	if (kept > 0 && kept < TW_MAX_OWNERS && !end->more)
		end->more = calloc(MORE, sizeof(*end->more));
	if (kept > 0)
		space = kept < TW_MAX_OWNERS && end->more ? &end->more[kept - 1] : NULL;
	end->owner_count += end->owner_count < UINT16_MAX;
	if (!space && !first)
		return;
	fresh = (struct end_owner){ holders_get(&t->holders, owner), owner->fd };
	if (first && fresh.holder) {
		struct end_owner was = end->first;

		end->first = fresh;
		fresh = was;
	}
	if (space)
		*space = fresh;
	else
		holders_put(&t->holders, fresh.holder);
}
