/* SPDX-License-Identifier: MIT */
/* The close lags that the kernel counts: read as they are, and kept from filling its map. A row
 * there is of one process, and nobody but that process adds to it. So once it has ended its rows
 * are moved here, where those of one name and port are one: a host that starts a client each second
 * has room for them for ever. */
#include <bpf/bpf.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "kernel/watch_private.h"

#define LAG_BATCH 256
/* Rows that are kept of those that have ended. Where their names are so many, the map fills up
 * after all, and what finds no place there is counted as lost. */
#define ENDED_MOST 65536
/* New rows, at least, between two attempts to take some out. */
#define FRESH_LEAST 2048

static struct watch_lag_key keys[LAG_BATCH];
static struct watch_lag values[LAG_BATCH];

typedef int map_batch_fn(struct watch *w, uint32_t n, void *arg, struct err *e);

/* Gives the rows of the map in batches. */
static int walk_map(struct watch *w, map_batch_fn *each, void *arg, struct err *e)
{
	int fd = bpf_map__fd(w->skel->maps.lags), r, failed;
	uint64_t from, *in = NULL, to; /* the kernel's own cursor: 32 bits of bucket number */
	uint32_t n;

	do {
		n = LAG_BATCH;
		r = bpf_map_lookup_batch(fd, in, &to, keys, values, &n, NULL);
		if (r && errno != ENOENT)
			return err_errno(e, -errno, "reading the close lags");
		failed = each(w, n, arg, e);
		if (failed)
			return failed;
		from = to;
		in = &from;
	} while (!r);
	return 0;
}

struct receiver {
	watch_lag_fn *each;
	void *arg;
};

static int give(struct watch *w, uint32_t n, void *arg, struct err *e)
{
	const struct receiver *to = arg;

	for (uint32_t i = 0; i < n; i++)
		to->each(&keys[i], &values[i], false, to->arg);
	return 0;
}

int watch_lags(struct watch *w, watch_lag_fn *each, void *arg, struct err *e)
{
	struct receiver to = { each, arg };
	int r = walk_map(w, give, &to, e);

	for (int i = 0; !r && i < WATCH_LAG_SLOTS; i++) {
		const volatile struct watch_lag_slot *slot = &w->skel->bss->lag_slots[i];

		if (slot->state == WATCH_SLOT_FILLED)
			each((const struct watch_lag_key *)&slot->key,
			     (const struct watch_lag *)&slot->lag, true, arg);
	}
	for (uint32_t i = 0; !r && i < w->ended_count; i++)
		each(&w->ended[i].key, &w->ended[i].lag, false, arg);
	return r;
}

/* Whose number nobody has. Where another has it by now, the row waits until that has ended, too. Of
 * those that have no number here it is not known, and threads of the kernel do not end. */
static bool has_ended(const struct watch_lag_key *key)
{
	return key->start && (pid_t)key->tgid > 0 && kill((pid_t)key->tgid, 0) && errno == ESRCH;
}

static int by_name_port_and_bucket(const void *pa, const void *pb)
{
	const struct watch_ended_lag *a = pa, *b = pb;
	int order = memcmp(a->lag.comm, b->lag.comm, sizeof(a->lag.comm));

	return order ? order : memcmp(&a->key, &b->key, sizeof(a->key));
}

/* Adds up those of the same name, port and size. */
static void join(struct watch *w)
{
	struct watch_ended_lag *v = w->ended;
	uint32_t kept = 0;

	if (!w->ended_count)
		return;
	qsort(v, w->ended_count, sizeof(*v), by_name_port_and_bucket);
	for (uint32_t i = 1; i < w->ended_count; i++) {
		if (by_name_port_and_bucket(&v[kept], &v[i])) {
			v[++kept] = v[i];
			continue;
		}
		v[kept].lag.count += v[i].lag.count;
		if (v[i].lag.max > v[kept].lag.max)
			v[kept].lag.max = v[i].lag.max;
	}
	w->ended_count = kept + 1;
}

static int take_out(struct watch *w, uint32_t n, void *arg, struct err *e)
{
	int fd = bpf_map__fd(w->skel->maps.lags);

	if (vec_reserve(&w->ended, &w->ended_cap, w->ended_count + n, sizeof(*w->ended)))
		return err_set(e, -ENOMEM, "no memory for the close lags");
	for (uint32_t i = 0; i < n; i++) {
		struct watch_ended_lag *to = &w->ended[w->ended_count];

		if (!has_ended(&keys[i]) || !strcmp(values[i].comm, WATCH_KERNEL) ||
		    bpf_map_lookup_and_delete_elem(fd, &keys[i], &to->lag))
			continue;
		to->key = keys[i];
		to->key.start = to->key.tgid = 0;
		w->ended_count++;
		__atomic_fetch_sub(&w->skel->bss->lag_rows, 1, __ATOMIC_RELAXED);
	}
	if (w->ended_count > ENDED_MOST)
		join(w);
	return w->ended_count > ENDED_MOST ? -E2BIG : 0;
}

int watch_fold_lags(struct watch *w, struct err *e)
{
	uint32_t most = bpf_map__max_entries(w->skel->maps.lags) / 4 * 3, rows;
	int r;

	if (!w->lags_most)
		w->lags_most = most;
	if (w->skel->bss->lag_rows < w->lags_most || w->ended_count >= ENDED_MOST)
		return 0;
	r = walk_map(w, take_out, NULL, e);
	join(w);
	if (r == -ENOMEM)
		return 0; /* at the next search; what finds no place meanwhile is counted */
	rows = w->skel->bss->lag_rows;
	w->lags_most = rows + FRESH_LEAST > most ? rows + FRESH_LEAST : most;
	return r == -E2BIG ? 0 : r;
}
