/* SPDX-License-Identifier: MIT */
/* storm textbook|bare SECONDS CLIENTS prints the connections per second, and the microseconds of
 * processor time that server and clients took for each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storm.h"

int main(int argc, char **argv)
{
	unsigned clients = argc > 3 ? (unsigned)atoi(argv[3]) : 0;
	struct storm_moment from, to;
	struct storm s;

	if (clients < 1 || clients > STORM_CLIENTS)
		return 2;
	storm_network();
	storm_start(&s, !strcmp(argv[1], "textbook"), clients);
	from = storm_look(&s);
	storm_sleep(atof(argv[2]));
	to = storm_look(&s);
	storm_stop(&s);
	if (to.count == from.count)
		return 1;
	printf("%.0f %.3f\n", (double)(to.count - from.count) / (to.at - from.at),
	       (to.used - from.used) / (double)(to.count - from.count));
	return 0;
}
