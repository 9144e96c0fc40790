/* SPDX-License-Identifier: MIT */
/* storm textbook|bare CLIENTS runs until its standard input ends, and says at each line of it, once
 * it is warm: the seconds, the microseconds of processor time that server and clients have taken,
 * and the connections that were made. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storm.h"

int main(int argc, char **argv)
{
	unsigned clients = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
	struct storm_moment m;
	struct storm s;
	char line[8];

	if (clients < 1 || clients > STORM_CLIENTS)
		return 2;
	storm_network();
	storm_start(&s, !strcmp(argv[1], "textbook"), clients);
	while (fgets(line, sizeof(line), stdin)) {
		m = storm_look(&s);
		printf("%.6f %.3f %" PRIu64 "\n", m.at, m.used, m.count);
		fflush(stdout);
	}
	storm_stop(&s);
	return 0;
}
