/* SPDX-License-Identifier: MIT */
#include "tcp/lag.h"

#include "base/num.h"

/* Below 64 units of 64 ns each unit is a bucket; above, each power of two has 64. */
#define UNIT_BITS 6
#define SUB_BITS  6
#define SUB       (1u << SUB_BITS)

uint32_t lag_bucket_of(uint64_t ns)
{
	uint64_t v = ns >> UNIT_BITS;
	uint32_t log;

	if (v < SUB)
		return (uint32_t)v;
	log = 63 - (uint32_t)__builtin_clzll(v);
	return (log - SUB_BITS + 1) * SUB + (uint32_t)((v >> (log - SUB_BITS)) & (SUB - 1));
}

uint64_t lag_bucket_low(uint32_t number)
{
	uint32_t octave = number / SUB;

	if (octave == 0)
		return (uint64_t)number << UNIT_BITS;
	return (uint64_t)(SUB + number % SUB) << (octave - 1 + UNIT_BITS);
}

uint64_t lag_bucket_high(uint32_t number)
{
	return lag_bucket_low(number + 1);
}

uint64_t lag_count(const struct lag_bucket *b, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += b[i].count;
	return sum;
}

uint64_t lag_max(const struct lag_bucket *b, size_t n)
{
	uint64_t max = 0;

	for (size_t i = 0; i < n; i++)
		if (b[i].max > max)
			max = b[i].max;
	return max;
}

uint64_t lag_quantile(const struct lag_bucket *b, size_t n, unsigned permille)
{
	uint64_t count = lag_count(b, n), rank, seen = 0;

	if (!count)
		return 0;
	rank = (count * permille + 999) / 1000;
	if (rank == 0)
		rank = 1;
	for (size_t i = 0; i < n; i++) {
		uint64_t low = lag_bucket_low(b[i].number), high = lag_bucket_high(b[i].number);
		uint64_t middle = low + (high - low) / 2;

		seen += b[i].count;
		if (seen >= rank)
			return middle > b[i].max ? b[i].max : middle;
	}
	return lag_max(b, n);
}

#define BAR_COLUMNS 40
#define EDGES       57 /* 1, 2, 5, 10, ... ns up to 5 * 10^18 */

/* The lower edges of the lines: 1, 2, 5, 10, 20, 50, ... ns. */
static uint64_t edge(unsigned i)
{
	static const uint64_t step[] = { 1, 2, 5 };
	uint64_t v = step[i % 3];

	for (i /= 3; i; i--)
		v *= 10;
	return v;
}

static unsigned line_of(uint64_t ns)
{
	unsigned i = 0;

	while (i + 1 < EDGES && edge(i + 1) <= ns)
		i++;
	return i;
}

static void draw_line(struct buf *out, unsigned i, uint64_t count, uint64_t most, bool utf8)
{
	size_t full = (size_t)((count * BAR_COLUMNS + most - 1) / most);
	char low[32], high[32];

	num_duration_text((int64_t)edge(i), low, sizeof(low));
	num_duration_text((int64_t)edge(i + 1), high, sizeof(high));
	buf_printf(out, "  %8s .. %-8s %10llu ", low, high, (unsigned long long)count);
	for (size_t k = 0; k < full; k++)
		buf_str(out, utf8 ? "█" : "#");
	buf_str(out, "\n");
}

void lag_draw(struct buf *out, const struct lag_bucket *b, size_t n, bool utf8)
{
	uint64_t sums[EDGES] = { 0 }, most = 1;
	unsigned first = EDGES, last = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned line = line_of(lag_bucket_low(b[i].number));

		sums[line] += b[i].count;
		if (sums[line] > most)
			most = sums[line];
		if (line < first)
			first = line;
		if (line > last)
			last = line;
	}
	for (unsigned i = first; n && i <= last; i++)
		draw_line(out, i, sums[i], most, utf8);
}
