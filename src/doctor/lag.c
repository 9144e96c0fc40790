/* SPDX-License-Identifier: MIT */
#include "doctor/lag.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct entries {
	struct lag_counter *v;
	size_t n, cap;
	bool failed;
};

static void collect(const struct watch_lag_key *key, const struct watch_lag *lag, bool in_slot,
		    void *arg)
{
	struct entries *all = arg;

	if (all->n == all->cap) {
		size_t cap = all->cap ? all->cap * 2 : 256;
		struct lag_counter *more = realloc(all->v, cap * sizeof(*more));

		if (!more) {
			all->failed = true;
			return;
		}
		all->v = more;
		all->cap = cap;
	}
	all->v[all->n++] = (struct lag_counter){ *key, *lag, in_slot };
}

static int compare_u64(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

/* What has no process is of those of one name; a process may change its own. */
static int compare_rows(const struct lag_counter *x, const struct lag_counter *y)
{
	const struct watch_lag_key *a = &x->key, *b = &y->key;
	int order = compare_u64(a->start, b->start);

	if (!order)
		order = compare_u64(a->tgid, b->tgid);
	if (!order && !a->start)
		order = memcmp(x->lag.comm, y->lag.comm, sizeof(x->lag.comm));
	if (!order)
		order = compare_u64(a->port, b->port);
	if (!order)
		order = compare_u64(a->outward, b->outward);
	return order;
}

static int by_row_and_bucket(const void *pa, const void *pb)
{
	const struct lag_counter *a = pa, *b = pb;
	int order = compare_rows(a, b);

	return order ? order : compare_u64(a->key.bucket, b->key.bucket);
}

/* What was looked at last comes first. */
static int by_place(const void *pa, const void *pb)
{
	const struct lag_counter *a = pa, *b = pb;
	int order = by_row_and_bucket(a, b);

	if (!order)
		order = compare_u64(a->in_slot, b->in_slot);
	return order ? order : compare_u64(b->lag.count, a->lag.count);
}

static int by_count(const void *pa, const void *pb)
{
	const struct lag_row *a = pa, *b = pb;

	return -compare_u64(lag_count(a->buckets, a->bucket_count),
			    lag_count(b->buckets, b->bucket_count));
}

/* A walk over the map, which others change, may give an entry twice: that is dropped. But the array
 * and the map have each counted others. Returns how many are left. */
static size_t join(struct lag_counter *v, size_t n)
{
	bool in_slot = false; /* what was looked at last */
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		struct lag_counter *last = kept ? &v[kept - 1] : NULL;
		bool is_again = last && !by_row_and_bucket(last, &v[i]);

		if (!is_again) {
			v[kept++] = v[i];
		} else if (v[i].in_slot != in_slot) {
			last->lag.count += v[i].lag.count;
			if (v[i].lag.max > last->lag.max)
				last->lag.max = v[i].lag.max;
		}
		in_slot = v[i].in_slot;
	}
	return kept;
}

static void fill(struct lag_table *t, const struct lag_counter *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct lag_counter *x = &v[i];

		if (!i || compare_rows(&v[i - 1], x)) {
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

int lag_table_make(struct lag_counter *v, size_t n, struct lag_table *out)
{
	struct lag_table t = { 0 };

	if (n) {
		qsort(v, n, sizeof(*v), by_place);
		n = join(v, n);
		t.rows = calloc(n, sizeof(*t.rows));
		t.buckets = calloc(n, sizeof(*t.buckets));
		if (!t.rows || !t.buckets) {
			lag_table_free(&t);
			return -ENOMEM;
		}
		fill(&t, v, n);
	}
	*out = t;
	return 0;
}

int lag_table_read(struct watch *w, struct lag_table *out, struct err *e)
{
	struct entries all = { 0 };
	int r = watch_lags(w, collect, &all, e);

	if (!r && (all.failed || lag_table_make(all.v, all.n, out)))
		r = err_set(e, -ENOMEM, "no memory for the close lags");
	free(all.v);
	return r;
}

void lag_table_free(struct lag_table *t)
{
	free(t->rows);
	free(t->buckets);
	*t = (struct lag_table){ 0 };
}
