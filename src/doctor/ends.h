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
	uint8_t state; /* TCPS_* when it was reported */
	bool waiting;  /* in an accept queue: the owners are the listener's */
	bool hidden;   /* not said: the line of the connection's other end stands for it */
	bool late;     /* not said yet: it is in the doctor's list for later */
	bool said;
	uint32_t owner_count; /* may exceed TW_MAX_OWNERS */
	struct tw_owner first;
	struct tw_owner *more; /* owners 1 to TW_MAX_OWNERS - 1; NULL: none */
	char *container;       /* NULL: none */
};

struct ends {
	struct open_end *v;
	uint32_t *slots; /* by `sk`: index into v plus 1; 0: free. Probed linearly */
	uint32_t *
		pairs; /* the same by the two addresses, in no order: both ends of one connection */
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

/* Takes note of the end's addresses, once they are set. */
void ends_pair(struct ends *t, const struct open_end *end);

/* The other end of the same connection, where it is here too; else NULL. An address of the host
 * itself (127.0.0.1) means that only in its own network namespace. */
struct open_end *ends_partner(const struct ends *t, const struct open_end *end);

/* Removes it, with what it owns. */
void ends_remove(struct ends *t, struct open_end *end);

/* Adds an owner unless it is there. Without memory it is only counted. */
void ends_add_owner(struct open_end *end, const struct tw_owner *owner);

/* Owner number `i`, less than owner_count and TW_MAX_OWNERS; NULL where it was not kept. */
const struct tw_owner *ends_owner(const struct open_end *end, uint32_t i);
