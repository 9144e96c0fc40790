/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* What a server has done. Every connection accepted is in exactly one of replied, refused_* and
 * unsent; every one replied to is in exactly one of closed, timed_out, too_much, reset_by_client
 * and cut_by_stop, or still open. The order is that of the JSON line. */
struct counters {
	uint64_t accepted;
	uint64_t replied;
	uint64_t closed;              /* the end of the client's stream was read */
	uint64_t refused_full;        /* the connections in all were as many as may be */
	uint64_t refused_source;      /* its source had as many as it may have */
	uint64_t refused_descriptors; /* no descriptor was left */
	uint64_t timed_out;           /* reset by us: the client did not close in time */
	uint64_t too_much;            /* reset by us: the client sent more than is read */
	uint64_t cut_by_stop;         /* open when the server ended */
	uint64_t reset_by_client;
	uint64_t unsent; /* the reply could not be sent: the client was gone before */
	uint64_t accept_errors;
	uint64_t udp_received;
	uint64_t udp_replied;
	uint64_t udp_refused_address; /* a port or address that is never answered */
	uint64_t udp_refused_source;  /* the source's rate */
	uint64_t udp_refused_all;     /* the rate of all together */
	uint64_t udp_unsent;
	uint64_t log_lines_lost; /* by this process; its writer's are its own count */
};

/* Adds `from` to `to`. */
void counters_add(struct counters *to, const struct counters *from);

#define COUNTERS_JSON_MAX 1024

/* Writes them as one JSON object without a line end. `reset_by_us` is the sum of what makes us
 * reset a connection that was replied to, `open` what is still open. Returns `out`. */
char *counters_json(const struct counters *c, char out[COUNTERS_JSON_MAX]);
