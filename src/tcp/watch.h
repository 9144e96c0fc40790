/* SPDX-License-Identifier: MIT */
/* What the watch says of one end: the model of a line, pure data. Lengths of time are nanoseconds
 * and end at the moment of the line. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcp/sample.h"
#include "tcp/verdict.h"

#define TW_COMM       16
#define TW_MAX_FRAMES 48
#define TW_MAX_OWNERS 8

/* One call of a stack, innermost first. Empty text: not known. */
struct tw_frame {
	uint64_t address;   /* in the process */
	uint64_t offset;    /* of the address in the object's own numbering */
	char function[120]; /* as the source has it, without parameters */
	char object[64];    /* name of the program, library or perf map, without its folder */
	char file[160];     /* source file, from debug information */
	unsigned line;
};

struct tw_stack {
	unsigned count;
	char note[96]; /* why it is missing or ends early; empty: complete */
	struct tw_frame frames[TW_MAX_FRAMES]; /* one that is kept may end after `count` */
};

struct tw_owner {
	int32_t pid, fd;
	uint64_t start_ns; /* of the process, since boot */
	char comm[TW_COMM];
};

enum tw_what {
	TW_HALF_CLOSED, /* it has been half-closed, or dead, for longer than allowed */
	TW_TOLD,        /* reported before: now a read returned 0 */
	TW_CLOSED,      /* reported before: it has sent its FIN */
	TW_DEAD,        /* reported before: the connection is gone, the descriptor not closed */
	TW_STILL, /* reported before, as in use or as waiting: it is neither for so long now */
	TW_OVER,  /* reported before: released */
	TW_WHATS
};

/* Which end's FIN came first. */
enum tw_first {
	TW_FIRST_PEER,
	TW_FIRST_HERE,
	TW_FIRST_NOBODY,  /* dead without a FIN: reset, or timed out */
	TW_FIRST_UNKNOWN, /* dead before the watch began: the socket does not remember */
};

/* "peer", "here", "nobody", "unknown". Never NULL; static. */
const char *tw_first_name(enum tw_first first);

/* "half-closed", "told", "closed", "dead", "still", "over". Never NULL; static. */
const char *tw_what_name(enum tw_what what);

/* Whether the process that holds it is to blame: it could have closed. */
bool tw_is_fault(enum tcp_cause cause);

/* The other end of a connection with both ends on this host: it closed first and waits. */
struct tw_closer {
	uint8_t state; /* TCPS_* when it came due */
	uint64_t cookie, netns;
	struct tw_owner owners[TW_MAX_OWNERS];
	unsigned owner_count; /* may exceed TW_MAX_OWNERS */
};

struct tw_line {
	enum tw_what what;
	enum tcp_cause cause;
	struct tcp_sample sample;
	int64_t wall_ns; /* CLOCK_REALTIME of the event */
	uint64_t age_ns; /* since it became half-closed; for a dead one, since it died */
	bool taken_in;   /* it was half-closed, or dead, before the watch began */
	bool at_least;   /* it was taken in, and its age is a lower bound */
	enum tw_first first;
	bool dead;        /* the connection is gone under an open descriptor */
	bool accepted;    /* this end came out of a listener; else it connected */
	bool waiting;     /* in an accept queue: `owners` are the listener's */
	bool told;        /* a read returned 0 */
	uint64_t told_ns; /* since that read */
	int32_t told_pid, told_tid;
	char told_comm[TW_COMM];
	const struct tw_stack *told_stack, *made_stack; /* NULL: none taken */
	bool closed;     /* this end has sent its FIN, after the peer's */
	uint64_t lag_ns; /* where `closed`: from the peer's FIN to this end's */
	bool by_exit;    /* this end's FIN was sent by an exiting program */
	struct tw_owner owners[TW_MAX_OWNERS];
	unsigned owner_count; /* may exceed TW_MAX_OWNERS */
	bool has_closer;
	struct tw_closer closer;
	uint64_t cgroup;    /* id of the socket's cgroup */
	char container[72]; /* id of the first owner's container; empty: none */
	bool elsewhere;     /* in another network namespace than the watch */
};

/* What was lost or not seen, by cause. */
struct tw_losses {
	uint64_t events;    /* the buffer was full */
	uint64_t stacks;    /* the stacks' buffer was full */
	uint64_t refused;   /* stacks not taken: too many new ones in one second */
	uint64_t untracked; /* ends not followed: the table was full */
	uint64_t lags;      /* lags not counted: the table was full */
	uint64_t missed;    /* calls of a program that came while it ran on the same CPU */
	uint64_t forgotten; /* reported ends of which user space had no room to keep count */
	uint64_t unkept;    /* stacks that a line would have shown; they were not kept so long */
	uint64_t makings;  /* sockets, or processes, whose making was not noted: a table was full */
	uint64_t children; /* processes not watched though their parent is: the table was full */
	uint64_t listeners;  /* whose queue was not looked at to its end, at one look: too long */
	uint64_t namespaces; /* network namespaces not looked into at the start */
};

uint64_t tw_losses_sum(const struct tw_losses *l);

/* The end of a watch, or of an interval. */
struct tw_summary {
	uint64_t reported;          /* ends that were half-closed longer than allowed */
	uint64_t open;              /* of these, not over */
	uint64_t tracked;           /* ends that were half-closed at all */
	bool cut_short;             /* by an error: what came later was not seen */
	uint64_t emitted, received; /* events, by the kernel's count and by ours */
	struct tw_losses losses;
};
