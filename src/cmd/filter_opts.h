/* SPDX-License-Identifier: MIT */
/* The options by which list and release say which sockets they mean. */
#pragma once

#include "cmd/opts.h"
#include "doctor/filter.h"

/* Ids of their options: past every letter. */
#define FILTER_OPT(key) (256 + (int)(key))
#define FILTER_OPT_END  FILTER_OPT(32)

/* Stand in both tables. */
#define FILTER_OPTS                                                                                \
	{ FILTER_OPT(FILTER_STATE), "state", "STATE[,...]",                                        \
	  "in these states: CLOSE_WAIT, FIN_WAIT_2, half-closed ...",                              \
	  "CLOSE_WAIT FIN_WAIT_1 FIN_WAIT_2 CLOSING LAST_ACK TIME_WAIT CLOSED ESTABLISHED "        \
	  "half-closed" },                                                                         \
		{ FILTER_OPT(FILTER_CAUSE), "cause", "CAUSE[,...]",                                \
		  "for these causes: unread, drained, dead ...",                                   \
		  "unread drained not-accepted shared no-descriptor replying closing peer-gone "   \
		  "send-blocked half-closed-here orphan dead time-wait" },                         \
		{ FILTER_OPT(FILTER_PID), "pid", "PID",                                            \
		  "held by this process, or waiting at its listener", "process-id" },              \
		{ FILTER_OPT(FILTER_COMM), "comm", "NAME",                                         \
		  "held by processes of this name; * and ? match", "process-name" },               \
		{ FILTER_OPT(FILTER_PORT), "port", "PORT", "with this port at either end", NULL }, \
		{ FILTER_OPT(FILTER_PEER), "peer", "ADDRESS",                                      \
		  "to this ADDRESS, ADDRESS/BITS or ADDRESS:PORT", NULL },                         \
		{ FILTER_OPT(FILTER_OLDER), "older", "TIME",                                       \
		  "at least this long in the state: 60s, 5m", NULL },                              \
		{ FILTER_OPT(FILTER_NETNS), "netns", "NAME",                                       \
		  "in this network namespace: name or inode", "netns" },                           \
	{                                                                                          \
		FILTER_OPT(FILTER_CGROUP), "cgroup", "PART",                                       \
			"in a cgroup or container whose path or id has this part", NULL            \
	}

/* Of these the last would replace the others. Begins the `once` of both. */
#define FILTER_ONCE                                                                          \
	FILTER_OPT(FILTER_PID), FILTER_OPT(FILTER_COMM), FILTER_OPT(FILTER_PORT),            \
		FILTER_OPT(FILTER_PEER), FILTER_OPT(FILTER_OLDER), FILTER_OPT(FILTER_NETNS), \
		FILTER_OPT(FILTER_CGROUP)

/* Sets the filter from an option of the table. Returns 0, or -EINVAL with one line that names the
 * option. */
static inline int filter_opt(struct filter *f, int id, const char *arg, struct err *e)
{
	return filter_set(f, (enum filter_key)(id - FILTER_OPT(0)), arg, e);
}
