/* SPDX-License-Identifier: MIT */
/* What a person wants first of a census: who holds how many, in which state, why, since when. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "tcp/census.h"

#define SUMMARY_PORTS 4

/* The different ports of a group; `n` goes on counting where there are more than fit. */
struct summary_ports {
	uint16_t port[SUMMARY_PORTS];
	uint32_t n; /* SUMMARY_PORTS + 1: more than fit */
};

/* Sockets of one process (or of none), one namespace, one state, one cause. */
struct summary_group {
	uint32_t proc;  /* index; of several holders the first. The listener's owner where not
			   accepted. CENSUS_NONE: nobody, or unknown */
	uint32_t netns; /* index, or CENSUS_NONE */
	uint8_t state, cause;
	uint8_t oldest_is;  /* enum tcp_age_is, of the oldest */
	uint32_t n;         /* sockets */
	uint32_t findings;  /* of them: need a person */
	uint32_t processes; /* the most that hold one of them */
	uint64_t oldest_ms;
	bool orphans; /* closed: nobody can hold them */
	struct summary_ports local, peer;
	uint32_t listener; /* index, where not accepted and it is one; else CENSUS_NONE */
	uint32_t sample;   /* index of one of its sockets */
};

struct summary {
	struct summary_group *v;
	uint32_t n, cap;
	uint32_t sockets, findings;
	uint64_t older_ms; /* what is younger needs nobody yet */
	struct map by_key;
};

/* Takes a socket in. Returns 0 or -ENOMEM. */
int summary_add(struct summary *s, const struct census *c, const struct census_socket *socket);

/* Sorts: what needs a person first, then what does not end by itself, then by number and age. */
void summary_sort(struct summary *s);

void summary_free(struct summary *s);
