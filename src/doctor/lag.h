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

/* Reads the counters as they are now. Returns 0 with `out` to be freed with lag_table_free(), or
 * -errno with text. */
int lag_table_read(struct watch *w, struct lag_table *out, struct err *e);
void lag_table_free(struct lag_table *t);
