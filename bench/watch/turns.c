/* SPDX-License-Identifier: MIT */
/* A storm that is watched and not watched in short turns: what else the machine does changes within
 * a second by more than a watch costs, so the shorter the turns, the less it hides. The watch is
 * the program's own, at its default threshold, but for its lines, which nobody gets. What is
 * half-closed when a turn ends is not seen to close, and found to be gone when it is due.
 *
 * turns textbook|bare MILLISECONDS TURNS CLIENTS SETTLE [made] prints for each turn whether it was
 * watched, the connections per second, and the microseconds of processor time for each. The first
 * SETTLE milliseconds of a turn are not counted. With `made` as under --made. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "doctor/watch.h"
#include "storm.h"

static void none(const struct tw_line *line, void *arg)
{
	(void)line;
	(void)arg;
}

static void fail(const struct err *e)
{
	fprintf(stderr, "turns: %s\n", e->text);
	exit(1);
}

static void watch_for(struct doctor *d, double seconds)
{
	int64_t end = clock_mono_ns() + (int64_t)(seconds * (double)CLOCK_NS_PER_S), left;
	struct pollfd p = { .fd = doctor_fd(d), .events = POLLIN };
	struct err e;
	int ms;

	while ((left = end - clock_mono_ns()) > 0) {
		if (doctor_turn(d, &ms, &e))
			fail(&e);
		left = left / CLOCK_NS_PER_MS + 1;
		poll(&p, 1, ms < left ? ms : (int)left);
	}
}

/* `settle`: seconds in which what attaching and detaching disturb is over; they are not counted. */
static void turn(struct doctor *d, const struct storm *s, bool watched, double settle,
		 double seconds)
{
	struct storm_moment from, to;
	struct err e;

	if (!watched)
		watch_detach(doctor_watch(d));
	else if (watch_attach(doctor_watch(d), &e))
		fail(&e);
	storm_sleep(settle);
	from = storm_look(s);
	if (watched)
		watch_for(d, seconds);
	else
		storm_sleep(seconds);
	to = storm_look(s);
	if (to.count > from.count)
		printf("%d %.0f %.3f\n", watched,
		       (double)(to.count - from.count) / (to.at - from.at),
		       (to.used - from.used) / (double)(to.count - from.count));
}

int main(int argc, char **argv)
{
	struct doctor_setup setup = { .watch.rules = { .after = CLOCK_NS_PER_S, .stacks = 1 } };
	unsigned clients = argc > 5 ? (unsigned)atoi(argv[4]) : 0;
	struct doctor *d;
	double settle;
	struct storm s;
	struct err e;

	if (clients < 1 || clients > STORM_CLIENTS)
		return 2;
	settle = atof(argv[5]) / 1000;
	setup.watch.rules.made = argc > 6;
	storm_network();
	if (doctor_open(&d, &setup, none, NULL, &e))
		fail(&e);
	storm_start(&s, !strcmp(argv[1], "textbook"), clients);
	for (int i = 0; i < atoi(argv[3]); i++)
		turn(d, &s, i % 2, settle, atof(argv[2]) / 1000);
	storm_stop(&s);
	doctor_close(d);
	return 0;
}
