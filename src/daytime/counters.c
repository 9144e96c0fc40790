/* SPDX-License-Identifier: MIT */
#include "daytime/counters.h"

#include <inttypes.h>
#include <stdio.h>

void counters_add(struct counters *to, const struct counters *from)
{
	uint64_t *t = (uint64_t *)to;
	const uint64_t *f = (const uint64_t *)from;

	for (size_t i = 0; i < sizeof(*to) / sizeof(*t); i++)
		t[i] += f[i];
}

/* Workers count on while theirs are read one after the other: an end may be seen before its reply.
 */
static uint64_t open_now(const struct counters *c)
{
	uint64_t ended = c->closed + c->timed_out + c->too_much + c->cut_by_stop +
			 c->reset_by_client;

	return c->replied > ended ? c->replied - ended : 0;
}

char *counters_json(const struct counters *c, char out[COUNTERS_JSON_MAX])
{
	snprintf(out, COUNTERS_JSON_MAX,
		 "{\"schema\":1,\"program\":\"daytimed\",\"accepted\":%" PRIu64
		 ",\"replied\":%" PRIu64 ",\"closed\":%" PRIu64 ",\"open\":%" PRIu64
		 ",\"refused\":{\"full\":%" PRIu64 ",\"source\":%" PRIu64
		 ",\"descriptors\":%" PRIu64 "},\"reset_by_us\":%" PRIu64 ",\"timed_out\":%" PRIu64
		 ",\"too_much\":%" PRIu64 ",\"cut_by_stop\":%" PRIu64
		 ",\"reset_by_client\":%" PRIu64 ",\"unsent\":%" PRIu64
		 ",\"accept_errors\":%" PRIu64 ",\"udp\":{\"received\":%" PRIu64
		 ",\"replied\":%" PRIu64 ",\"refused\":{\"address\":%" PRIu64 ",\"source\":%" PRIu64
		 ",\"all\":%" PRIu64 "},\"unsent\":%" PRIu64 "},\"log_lines_lost\":%" PRIu64 "}",
		 c->accepted, c->replied, c->closed, open_now(c), c->refused_full,
		 c->refused_source, c->refused_descriptors, c->timed_out + c->too_much,
		 c->timed_out, c->too_much, c->cut_by_stop, c->reset_by_client, c->unsent,
		 c->accept_errors, c->udp_received, c->udp_replied, c->udp_refused_address,
		 c->udp_refused_source, c->udp_refused_all, c->udp_unsent, c->log_lines_lost);
	return out;
}
