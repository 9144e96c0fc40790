/* SPDX-License-Identifier: MIT */
/* The doctor's snapshot: every socket that is half-closed, dead or stuck, with owner, age, cause.
 */
#pragma once

#include "base/err.h"
#include "doctor/filter.h"
#include "tcp/census.h"

enum snapshot_tier {
	SNAPSHOT_BEST, /* BPF where it works, else /proc */
	SNAPSHOT_BPF,  /* BPF or an error */
	SNAPSHOT_PROC,
};

/* What a snapshot takes in unless asked for more. */
#define SNAPSHOT_STATES (TCP_HALF_CLOSED | TCP_BIT(TCPS_TIME_WAIT) | TCP_BIT(TCPS_CLOSE))

struct snapshot_opts {
	enum snapshot_tier tier;
	unsigned states;     /* TCP_BIT set; 0: SNAPSHOT_STATES */
	bool each_time_wait; /* TIME_WAIT entries as sockets too, not only summed */
	bool own_netns_only;
	/* The caller shows no other sockets: saves work, and a second look at what is not meant.
	 * Not everything that the filter does not mean is left out. NULL: everything. */
	const struct filter *only;
};

/* Takes one. Blocks for as long as the kernel takes. Returns 0 with `out` (to be freed with
 * census_free()) filled, what could not be seen in out->limits; or -errno with text and `out`
 * empty. Not for use by two threads at once: it visits other network namespaces. */
int snapshot_take(const struct snapshot_opts *opts, struct census *out, struct err *e);
