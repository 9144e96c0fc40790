/* SPDX-License-Identifier: MIT */
/* The reported ends that are not over: a table by the kernel's address of the socket. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kernel/bpf/watch.h"
#include "tcp/watch.h"

struct open_end {
	uint64_t sk; /* 0: a free place */
	struct watch_event last;
	struct tw_owner owners[TW_MAX_OWNERS];
	unsigned owner_count; /* may exceed TW_MAX_OWNERS */
	bool waiting;         /* in an accept queue: the owners are the listener's */
	char container[72];
};

struct ends {
	struct open_end *v;
	unsigned cap, count;
};

/* Most that are kept at a time. */
#define ENDS_MAX 131072

/* Returns 0 or -ENOMEM. */
int ends_init(struct ends *t);
void ends_free(struct ends *t);

/* The end, or NULL. Valid until the next insertion or removal. */
struct open_end *ends_find(const struct ends *t, uint64_t sk);

/* A fresh place for the end, in that of an older one of the same address; NULL where there is no
 * room. Moves the others. */
struct open_end *ends_insert(struct ends *t, uint64_t sk);

/* Removes it. Moves the others. */
void ends_remove(struct ends *t, struct open_end *end);
