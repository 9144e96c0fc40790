/* SPDX-License-Identifier: MIT */
/* The reported ends that are not over: a table by the kernel's address of the socket. It may hold
 * a hundred thousand, so an end is small. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tcp/addr.h"
#include "tcp/watch.h"

struct open_end {
	uint64_t sk;    /* 0: a free item */
	uint64_t began; /* names the end together with `sk` */
	uint64_t cookie, cgroup;
	uint8_t local[16], peer[16];
	uint16_t local_port, peer_port;
	uint32_t netns;
	uint32_t flags; /* enum watch_flag, as last heard */
	uint8_t family;
	bool waiting;         /* in an accept queue: the owners are the listener's */
	uint32_t owner_count; /* may exceed TW_MAX_OWNERS */
	struct tw_owner first;
	struct tw_owner *more; /* owners 1 to TW_MAX_OWNERS - 1; NULL: none */
	char *container;       /* NULL: none */
};

struct ends {
	struct open_end *v;
	uint32_t *slots; /* index into v plus 1; 0: free. Probed linearly */
	uint32_t cap, mask, used, free, count;
};

/* Most that are kept at a time. */
#define ENDS_MAX 131072

/* Returns 0 or -ENOMEM. */
int ends_init(struct ends *t);
void ends_free(struct ends *t);

/* The end, or NULL. Valid until the next insertion. */
struct open_end *ends_find(const struct ends *t, uint64_t sk);

/* A fresh item for the end, in that of an older one of the same address; NULL where there is no
 * room. Moves the others. */
struct open_end *ends_insert(struct ends *t, uint64_t sk);

/* Removes it, with what it owns. */
void ends_remove(struct ends *t, struct open_end *end);

/* Adds an owner unless it is there. Without memory it is only counted. */
void ends_add_owner(struct open_end *end, const struct tw_owner *owner);

/* Owner number `i`, less than owner_count and TW_MAX_OWNERS; NULL where it was not kept. */
const struct tw_owner *ends_owner(const struct open_end *end, uint32_t i);
