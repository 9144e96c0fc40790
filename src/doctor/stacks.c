/* SPDX-License-Identifier: MIT */
#include "doctor/stacks.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "doctor/reader.h"

/* The bytes that copies may take. */
#define KEEP_BYTES (8u << 20)
/* What was read lately, since one leak is reported many times. */
#define KEEP_READ 64

struct kept {
	struct watch_stack *raw; /* cut to the bytes that are there; NULL: gone */
	size_t bytes;
	bool read_ahead; /* it was asked for before a report did */
};

/* No stack's note is said of one that is read. */
static const struct tw_stack not_kept = { .note = "the stack is not kept" };
static const struct tw_stack not_read = { .note = "the stack is not read yet" };

/* A site's place is its number modulo WATCH_SITES: the kernel counts them up. */
struct stacks {
	struct kept kept[WATCH_SITES];
	uint32_t oldest; /* the lowest site that may be kept */
	uint32_t newest;
	size_t bytes;
	struct reader_text *read[KEEP_READ]; /* NULL: free */
	unsigned next_read;
	struct reader *reader;
	uint64_t missing; /* times that one was asked for that is not kept */
};

struct stacks *stacks_new(void)
{
	struct stacks *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->oldest = 1;
	s->reader = reader_new();
	if (!s->reader) {
		free(s);
		return NULL;
	}
	return s;
}

static void drop(struct stacks *s, struct kept *k)
{
	s->bytes -= k->bytes;
	free(k->raw);
	*k = (struct kept){ 0 };
}

void stacks_free(struct stacks *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < WATCH_SITES; i++)
		drop(s, &s->kept[i]);
	for (unsigned i = 0; i < KEEP_READ; i++)
		free(s->read[i]);
	reader_free(s->reader);
	free(s);
}

void stacks_keep(struct stacks *s, const struct watch_stack *stack)
{
	size_t size = stack->size <= WATCH_STACK_BYTES ? stack->size : WATCH_STACK_BYTES;
	size_t bytes = offsetof(struct watch_stack, data) + size;
	struct kept *k = &s->kept[stack->site % WATCH_SITES];
	uint32_t first;

	if (stack->site > s->newest)
		s->newest = stack->site;
	first = stacks_oldest(s);
	if (s->oldest < first)
		s->oldest = first; /* those before were replaced */
	drop(s, k);
	while (s->bytes + bytes > KEEP_BYTES && s->oldest < stack->site)
		drop(s, &s->kept[s->oldest++ % WATCH_SITES]);
	k->raw = malloc(bytes);
	if (!k->raw)
		return;
	memcpy(k->raw, stack, bytes);
	k->raw->size = (uint32_t)size;
	k->raw->low = stack->low <= size ? stack->low : (uint32_t)size;
	k->bytes = bytes;
	s->bytes += bytes;
}

uint32_t stacks_oldest(const struct stacks *s)
{
	uint32_t first = s->newest > WATCH_SITES ? s->newest - WATCH_SITES + 1 : 1;

	return first > s->oldest ? first : s->oldest;
}

int stacks_fd(const struct stacks *s)
{
	return reader_fd(s->reader);
}

static void store(struct stacks *s, struct reader_text *text)
{
	struct reader_text **place = &s->read[s->next_read++ % KEEP_READ];

	free(*place);
	*place = text;
}

void stacks_collect(struct stacks *s)
{
	struct reader_text *text;

	while ((text = reader_take(s->reader, 0)))
		store(s, text);
}

static const struct tw_stack *text_of(const struct stacks *s, uint32_t site)
{
	for (unsigned i = 0; i < KEEP_READ; i++)
		if (s->read[i] && s->read[i]->site == site)
			return &s->read[i]->text;
	return NULL;
}

static const struct watch_stack *raw_of(const struct stacks *s, uint32_t site)
{
	const struct kept *k = &s->kept[site % WATCH_SITES];

	return k->raw && k->raw->site == site ? k->raw : NULL;
}

static int ask(struct stacks *s, const struct watch_stack *raw, bool urgent)
{
	size_t bytes = offsetof(struct watch_stack, data) + raw->size;
	struct watch_stack *copy;

	if (reader_is_at(s->reader, raw->site, urgent))
		return -EALREADY;
	copy = malloc(bytes);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, raw, bytes);
	return reader_ask(s->reader, copy, urgent);
}

bool stacks_ready(struct stacks *s, uint32_t site)
{
	const struct watch_stack *raw = raw_of(s, site);

	if (!site || text_of(s, site))
		return true;
	if (!raw)
		return !reader_is_at(s->reader, site, true);
	ask(s, raw, true);
	return false;
}

bool stacks_await(struct stacks *s, uint32_t site, uint64_t wait_ns)
{
	uint64_t end = (uint64_t)clock_mono_ns() + wait_ns, now;

	while (!stacks_ready(s, site)) {
		struct reader_text *text;

		now = (uint64_t)clock_mono_ns();
		if (now >= end)
			return false;
		text = reader_take(s->reader, end - now);
		if (!text)
			return stacks_ready(s, site);
		store(s, text);
	}
	return true;
}

const struct tw_stack *stacks_read(struct stacks *s, uint32_t site)
{
	const struct tw_stack *text = text_of(s, site);

	if (!site || text)
		return text;
	if (raw_of(s, site))
		return &not_read;
	s->missing++;
	return &not_kept;
}

uint64_t stacks_missing(const struct stacks *s)
{
	return s->missing;
}

void stacks_read_ahead(struct stacks *s, uint32_t slot)
{
	struct kept *k = &s->kept[slot % WATCH_SITES];
	char path[32];

	if (!k->raw || k->read_ahead)
		return;
	k->read_ahead = true;
	if (text_of(s, k->raw->site))
		return;
	snprintf(path, sizeof(path), "/proc/%u", k->raw->tgid);
	if (!access(path, F_OK) && ask(s, k->raw, false) == -EAGAIN)
		k->read_ahead = false;
}
