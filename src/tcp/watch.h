/* SPDX-License-Identifier: MIT */
/* What the watch says of one end: the model of a line, pure data. Times are nanoseconds; those
 * named _ns are lengths, counted back from the moment of the line. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcp/addr.h"

#define TW_COMM       16
#define TW_MAX_FRAMES 48
#define TW_MAX_OWNERS 8

/* One return address of a stack, innermost first. Empty text: not known. */
struct tw_frame {
	uint64_t address; /* in the process */
	uint64_t offset; /* in the object's file, or within the function where no object is known */
	char function[96];
	char object[96]; /* file name of the program or library, or of the perf map */
	char file[128];  /* source file, from debug information */
	unsigned line;
	bool inlined;
};

struct tw_stack {
	struct tw_frame frames[TW_MAX_FRAMES];
	unsigned count;
	char note[96]; /* why it is missing or ends early; empty: complete */
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
	TW_OVER,        /* reported before: released */
	TW_WHATS
};

enum tw_cause {
	TW_UNREAD,
	TW_TOLD_OPEN, /* "told" */
	TW_DRAINED,
	TW_NOT_ACCEPTED,
	TW_NO_DESCRIPTOR,
	TW_REPLYING,
	TW_PEER_GONE,
	TW_SEND_BLOCKED,
	TW_HALF_CLOSED_HERE,
	TW_ORPHAN,
	TW_GONE, /* "dead" */
	TW_CAUSES
};

/* "unread", "told", ...: the words of `unclosed list`. Never NULL; static. */
const char *tw_cause_name(enum tw_cause cause);
/* "half-closed", "told", "closed", "dead", "over". Never NULL; static. */
const char *tw_what_name(enum tw_what what);

/* The numbers that the cause rests on, as the kernel gave them. */
struct tw_facts {
	uint8_t state;   /* TCPS_* */
	bool holder;     /* the peer's FIN came first */
	bool dead;       /* the connection is gone under an open descriptor */
	bool told;       /* a read returned 0 */
	bool has_socket; /* it belongs to a socket: accepted, and not orphaned */
	bool reads_seen; /* it was half-closed under the watch's eyes: had it been told, we knew */
	unsigned owners; /* descriptors found */
	uint32_t unread; /* bytes, the peer's FIN counted as 1 */
	uint32_t unacked;
	uint32_t sent;    /* bytes written since the peer's FIN arrived */
	uint64_t sent_ns; /* since data were last sent */
	uint32_t peer_window;
	uint8_t retransmits;
};

/* The rule: facts to cause. `quiet_ns`: a holder that sent within this time is replying. */
enum tw_cause tw_cause(const struct tw_facts *f, uint64_t quiet_ns);

struct tw_line {
	enum tw_what what;
	enum tw_cause cause;
	struct tw_facts facts;
	struct tcp_addr local, peer;
	int64_t wall_ns;  /* CLOCK_REALTIME of the event */
	uint64_t age_ns;  /* half-closed (or dead) since */
	bool at_least;    /* it was so before the watch began: ages are lower bounds */
	bool accepted;    /* this end came out of a listener; else it connected */
	uint64_t told_ns; /* since the read that returned 0; 0: none */
	int32_t told_pid, told_tid;
	char told_comm[TW_COMM];
	const struct tw_stack *told_stack, *made_stack; /* NULL: none taken */
	uint64_t lag_ns; /* from the peer's FIN to this end's; 0: not closed, or not the holder */
	bool by_exit;    /* this end's FIN was sent by an exiting program */
	int error;       /* what ended a dead connection: ECONNRESET ...; 0 unknown */
	struct tw_owner owners[TW_MAX_OWNERS];
	unsigned owner_count; /* may exceed TW_MAX_OWNERS */
	uint64_t cookie, inode, cgroup;
	uint32_t netns;
	char container[80]; /* empty: none */
};

/* What was lost or not seen, by cause. */
struct tw_losses {
	uint64_t events;    /* the buffer was full */
	uint64_t stacks;    /* the buffer was full */
	uint64_t refused;   /* stacks not taken: too many new ones in one second */
	uint64_t untracked; /* ends not followed: the table was full */
	uint64_t lags;      /* lags not counted: the table was full */
	uint64_t forgotten; /* reported ends of which user space had no room to keep count */
};

uint64_t tw_losses_sum(const struct tw_losses *l);
