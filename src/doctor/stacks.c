/* SPDX-License-Identifier: MIT */
#include "doctor/stacks.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/unwind.h"

/* Sites that are kept, and the bytes that their copies may take. */
#define KEEP_SITES 4096
#define KEEP_BYTES (12u << 20)
/* What was read lately, since one leak is reported many times. */
#define KEEP_READ 64

struct kept {
	struct watch_stack *raw; /* cut to the bytes that are there; NULL: gone */
	size_t bytes;
};

struct read {
	uint32_t site; /* 0: free */
	struct tw_stack text;
};

/* A site's place is its number modulo KEEP_SITES: the kernel counts them up. */
struct stacks {
	struct kept kept[KEEP_SITES];
	uint32_t oldest;        /* the lowest site that may be kept */
	uint32_t newest, ahead; /* the highest site; the highest that was read ahead */
	size_t bytes;
	struct read read[KEEP_READ];
	unsigned next_read;
	struct unwinder *unwinder;
};

struct stacks *stacks_new(void)
{
	struct stacks *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->oldest = 1;
	s->unwinder = unwinder_new();
	if (!s->unwinder) {
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
	for (unsigned i = 0; i < KEEP_SITES; i++)
		drop(s, &s->kept[i]);
	unwinder_free(s->unwinder);
	free(s);
}

void stacks_keep(struct stacks *s, const struct watch_stack *stack)
{
	size_t size = stack->size <= WATCH_STACK_BYTES ? stack->size : WATCH_STACK_BYTES;
	size_t bytes = offsetof(struct watch_stack, data) + size;
	struct kept *k = &s->kept[stack->site % KEEP_SITES];

	if (stack->site > s->newest)
		s->newest = stack->site;
	drop(s, k);
	while (s->bytes + bytes > KEEP_BYTES && s->oldest < stack->site)
		drop(s, &s->kept[s->oldest++ % KEEP_SITES]);
	k->raw = malloc(bytes);
	if (!k->raw)
		return;
	memcpy(k->raw, stack, bytes);
	k->raw->size = (uint32_t)size;
	k->bytes = bytes;
	s->bytes += bytes;
}

const struct tw_stack *stacks_read(struct stacks *s, uint32_t site)
{
	const struct kept *k = &s->kept[site % KEEP_SITES];
	struct read *r;

	if (!site)
		return NULL;
	for (unsigned i = 0; i < KEEP_READ; i++)
		if (s->read[i].site == site)
			return &s->read[i].text;
	r = &s->read[s->next_read++ % KEEP_READ];
	r->site = site;
	memset(&r->text, 0, sizeof(r->text));
	if (k->raw && k->raw->site == site)
		unwind(s->unwinder, k->raw, &r->text);
	else
		snprintf(r->text.note, sizeof(r->text.note), "the stack is not kept");
	return &r->text;
}

bool stacks_read_ahead(struct stacks *s, uint64_t before)
{
	while (s->ahead < s->newest) {
		const struct kept *k = &s->kept[(s->ahead + 1) % KEEP_SITES];
		char path[32];

		if (k->raw && k->raw->at > before)
			return false;
		s->ahead++;
		if (!k->raw || k->raw->site != s->ahead)
			continue;
		snprintf(path, sizeof(path), "/proc/%u", k->raw->tgid);
		if (access(path, F_OK))
			continue;
		stacks_read(s, s->ahead);
		return true;
	}
	return false;
}
