/* SPDX-License-Identifier: MIT */
/* The close lags that a watch has counted, per process and port. docs/CLOSE-LAG.md defines them. */
#pragma once

#include "base/err.h"
#include "kernel/watch.h"
#include "tcp/lag.h"

struct lag_table {
	struct lag_row *rows; /* those with most closes first; own no memory of their own */
	size_t row_count;
	struct lag_bucket *buckets;
};

/* A counter as the kernel has it: see watch_lags(). */
struct lag_counter {
	struct watch_lag_key key;
	struct watch_lag lag;
	bool in_slot;
};

/* Makes the table of so many counters, which are put in order. Pure. Returns 0 with `out` to be
 * freed with lag_table_free(), or -ENOMEM. */
int lag_table_make(struct lag_counter *v, size_t n, struct lag_table *out);

/* Reads the counters as they are now. Returns 0 with `out` to be freed with lag_table_free(), or
 * -errno with text. */
int lag_table_read(struct watch *w, struct lag_table *out, struct err *e);
void lag_table_free(struct lag_table *t);
