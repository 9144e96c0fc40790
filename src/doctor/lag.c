/* SPDX-License-Identifier: MIT */
#include "doctor/lag.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	struct watch_lag_key key;
	struct watch_lag lag;
};

struct entries {
	struct entry *v;
	size_t n, cap;
	bool failed;
};

static void collect(const struct watch_lag_key *key, const struct watch_lag *lag, void *arg)
{
	struct entries *all = arg;

	if (all->n == all->cap) {
		size_t cap = all->cap ? all->cap * 2 : 256;
		struct entry *more = realloc(all->v, cap * sizeof(*more));

		if (!more) {
			all->failed = true;
			return;
		}
		all->v = more;
		all->cap = cap;
	}
	all->v[all->n++] = (struct entry){ *key, *lag };
}

static int compare_u64(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int same_row(const struct watch_lag_key *a, const struct watch_lag_key *b)
{
	int order = compare_u64(a->start, b->start);

	if (!order)
		order = compare_u64(a->tgid, b->tgid);
	if (!order)
		order = compare_u64(a->port, b->port);
	if (!order)
		order = compare_u64(a->outward, b->outward);
	return order;
}

static int by_row_and_bucket(const void *pa, const void *pb)
{
	const struct entry *a = pa, *b = pb;
	int order = same_row(&a->key, &b->key);

	return order ? order : compare_u64(a->key.bucket, b->key.bucket);
}

static int by_count(const void *pa, const void *pb)
{
	const struct lag_row *a = pa, *b = pb;

	return -compare_u64(lag_count(a->buckets, a->bucket_count),
			    lag_count(b->buckets, b->bucket_count));
}

/* A walk over a table that others change may give an entry twice. */
static void drop_doubles(struct entries *all)
{
	size_t kept = 0;

	for (size_t i = 0; i < all->n; i++)
		if (!kept || by_row_and_bucket(&all->v[kept - 1], &all->v[i]))
			all->v[kept++] = all->v[i];
	all->n = kept;
}

static void fill(struct lag_table *t, const struct entries *all)
{
	for (size_t i = 0; i < all->n; i++) {
		const struct entry *x = &all->v[i];

		if (!i || same_row(&all->v[i - 1].key, &x->key)) {
			struct lag_row *row = &t->rows[t->row_count++];

			*row = (struct lag_row){ .pid = (int32_t)x->key.tgid,
						 .start_ns = x->key.start,
						 .port = x->key.port,
						 .outward = x->key.outward,
						 .buckets = &t->buckets[i] };
			memcpy(row->comm, x->lag.comm, sizeof(row->comm));
		}
		t->buckets[i] = (struct lag_bucket){ x->key.bucket, x->lag.count, x->lag.max };
		t->rows[t->row_count - 1].bucket_count++;
	}
	qsort(t->rows, t->row_count, sizeof(*t->rows), by_count);
}

int lag_table_read(struct watch *w, struct lag_table *out, struct err *e)
{
	struct entries all = { 0 };
	struct lag_table t = { 0 };
	int r = watch_lags(w, collect, &all, e);

	if (!r && all.n) {
		qsort(all.v, all.n, sizeof(*all.v), by_row_and_bucket);
		drop_doubles(&all);
		t.rows = calloc(all.n, sizeof(*t.rows));
		t.buckets = calloc(all.n, sizeof(*t.buckets));
	}
	if (!r && (all.failed || (all.n && (!t.rows || !t.buckets))))
		r = err_set(e, -ENOMEM, "no memory for the close lags");
	if (!r && t.rows && t.buckets)
		fill(&t, &all);
	free(all.v);
	if (r) {
		lag_table_free(&t);
		return r;
	}
	*out = t;
	return 0;
}

void lag_table_free(struct lag_table *t)
{
	free(t->rows);
	free(t->buckets);
	*t = (struct lag_table){ 0 };
}
