/* SPDX-License-Identifier: MIT */
/* `unclosed list` on paper: the summary, the sockets, columns for scripts, JSON. Whatever other
 * programs chose (names, paths) is escaped. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "report/style.h"
#include "tcp/census.h"
#include "tcp/summary.h"

#define LIST_SCHEMA 1

/* Adds one socket as one line of JSON: schema, state, cause, local, peer, age_ms, age_is, recv_q,
 * send_q, cookie, inode, netns, holders [pid, comm, fd], evidence, needs_person. `age_ms` is null
 * where unknown, addresses where the kernel no longer tells them. needs_person: where it is
 * `older_ms`. */
void list_json_socket(struct buf *out, const struct census *c, const struct census_socket *s,
		      uint64_t older_ms);

/* Adds the summary: a line per group, worst first, with what to do under it. */
void list_text_summary(struct buf *out, const struct census *c, const struct summary *sum,
		       const struct report_style *style);

/* Adds TIME_WAIT by destination, the `most` fullest, against the ephemeral ports; nothing where
 * there is none. */
void list_text_time_wait(struct buf *out, const struct census *c, unsigned most);

/* Adds the lines on how it was looked at and what could not be seen. */
void list_text_limits(struct buf *out, const struct census *c, const struct report_style *style);

/* Adds what could not be seen as one line without an end; nothing where all was. Returns whether
 * there is something. */
bool list_unseen_line(struct buf *out, const struct census *c);

/* Columns, by number; the names are what a person types and what the heading shows. */
enum list_column {
	LIST_STATE,
	LIST_CAUSE,
	LIST_AGE,
	LIST_RECV_Q,
	LIST_SEND_Q,
	LIST_LOCAL,
	LIST_PEER,
	LIST_PID,
	LIST_COMM,
	LIST_FD,
	LIST_NETNS,
	LIST_CONTAINER,
	LIST_CGROUP,
	LIST_INODE,
	LIST_COOKIE,
	LIST_AGE_MS,
	LIST_AGE_IS,
	LIST_HOLDERS,
	LIST_LISTENER,
	LIST_EVIDENCE,
	LIST_COLUMNS
};

/* Reads "state,pid,fd". Returns how many columns were written to `out`, or -EINVAL with one line.
 */
struct err;
int list_columns_parse(const char *text, uint8_t out[LIST_COLUMNS], struct err *e);

/* Adds one value. Nothing is added for what is unknown or not there. Of several holders, pid, comm
 * and fd are the first's. */
void list_column(struct buf *out, enum list_column column, const struct census *c,
		 const struct census_socket *s, bool utf8);

/* Adds the sockets chosen (indices), aligned for people; or separated by tabs for scripts, "-" for
 * an empty value. */
struct list_table {
	const uint8_t *columns;
	unsigned n;
	bool tabs;
	bool heading;
};
void list_table(struct buf *out, const struct list_table *t, const struct census *c,
		const uint32_t *chosen, uint32_t chosen_n, const struct report_style *style);
