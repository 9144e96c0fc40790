/* SPDX-License-Identifier: MIT */
/* What the full-screen view knows: processes and their open ends, from the watch's lines. Nothing
 * here draws, asks the kernel or looks at the clock but for ages. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "report/style.h"
#include "tcp/watch.h"

#define TABLE_HISTORY 60 /* seconds of the sparkline; and that a process stays which holds none */
/* Ends that are kept: some 6 KiB each, with their stacks. All are counted, at some 130 bytes each.
 */
#define TABLE_MOST_ITEMS 4096

/* A process: its number alone may be used again. */
struct table_who {
	uint64_t start_ns;
	int32_t pid; /* 0: no process has a descriptor */
};

struct table_proc {
	struct table_who who;
	char comm[TW_COMM];
	uint32_t open, ever;             /* ends that it holds, and held */
	uint32_t kept;                   /* of `open`, with an item */
	uint32_t idle;                   /* seconds since it held one */
	uint32_t history[TABLE_HISTORY]; /* a ring; the newest is at table.second % TABLE_HISTORY */
};

/* One open end. */
struct table_item {
	uint64_t id; /* never used again */
	uint64_t netns, cookie;
	struct tcp_addr local, peer;
	struct table_who who; /* its first owner, when it was reported */
	int64_t since_ns;     /* CLOCK_MONOTONIC */
	int64_t said_ns;      /* the same: the moment of the last line */
	struct tw_line *line; /* the last one, without stacks; half-closed until it has closed */
	char *told, *made;    /* its stacks as text; NULL: none was taken, or no memory */
};

struct table {
	struct table_proc *procs;
	struct table_item *items;
	void *counted; /* a tree (tsearch(3)) of the open ends that have no item */
	uint32_t proc_count, proc_cap, item_count, item_cap;
	bool unsorted; /* items have come or gone, or have another age */
	uint64_t second, last_id;
	uint64_t open, ever; /* of all processes, also of those that are gone from the table */
	struct report_style style;
};

/* Frees what it holds. An empty table is all zero, but for `style`. */
void table_free(struct table *t);

/* Takes in a line. Without memory it counts less: an end
 * that is not counted when it is reported never is. */
void table_line(struct table *t, const struct tw_line *line);

/* A second has passed: the histories go on, and who held nothing for their whole length leaves. */
void table_second(struct table *t);

/* Sorts the processes, most open ends first, and the items, oldest first. */
void table_sort(struct table *t);

bool table_same(const struct table_who *a, const struct table_who *b);
/* The process; NULL where it is not, or no longer, in the table. Valid until the next line or sort.
 */
struct table_proc *table_proc(const struct table *t, const struct table_who *who);
/* The item in this row of the process's; NULL: there is none. Valid until the next line or sort. */
struct table_item *table_row(const struct table *t, const struct table_who *who, int row);
/* The row of the process's in which the item with this id is; -1: it is not there. */
int table_row_of(const struct table *t, const struct table_who *who, uint64_t id);
/* The item with this id; NULL: it is over. Valid until the next line or sort. */
struct table_item *table_item(const struct table *t, uint64_t id);

/* The item's line as it would be said at `now_ns`, CLOCK_MONOTONIC, for what is known of it. */
struct tw_line table_line_now(const struct table_item *it, int64_t now_ns);
