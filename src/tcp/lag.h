/* SPDX-License-Identifier: MIT */
/* Close lag as a distribution: counts per bucket, and what is read from them. Pure. The buckets are
 * 64 to a power of two, so that a value is known to 1/64; docs/CLOSE-LAG.md has the definition. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* One bucket that is not empty. */
struct lag_bucket {
	uint32_t number;
	uint64_t count;
	uint64_t max; /* the largest value in it, ns */
};

/* The bucket of a lag, ns. The watch programs compute the same. */
uint32_t lag_bucket_of(uint64_t ns);

/* The smallest value of a bucket, and the smallest of the next one, ns. */
uint64_t lag_bucket_low(uint32_t number);
uint64_t lag_bucket_high(uint32_t number);

/* How many lags were counted, and the largest of them, ns; 0 where there are none. */
uint64_t lag_count(const struct lag_bucket *b, size_t n);
uint64_t lag_max(const struct lag_bucket *b, size_t n);

/* The value that `permille` thousandths of all do not exceed: the middle of the bucket in which the
 * value of that rank lies (nearest rank), and never more than that bucket's largest. `b` ascends by
 * number. 0 where nothing was counted. */
uint64_t lag_quantile(const struct lag_bucket *b, size_t n, unsigned permille);

/* The close lag of one process at one port; without `pid` and `start_ns`, of the kernel, or of all
 * processes of one name that have ended. */
struct lag_row {
	int32_t pid;
	uint64_t start_ns; /* of the process, since boot */
	char comm[16];
	uint16_t port; /* the listening port; where this end connected, the peer's */
	bool outward;  /* this end connected */
	const struct lag_bucket *buckets; /* ascending by number */
	size_t bucket_count;
};

/* Adds a histogram, one line per step of 1, 2, 5, 10 ... between the smallest and the largest, each
 * with its count and a bar. `utf8`: bars of blocks, else of '#'. */
void lag_draw(struct buf *out, const struct lag_bucket *b, size_t n, bool utf8);
