/* SPDX-License-Identifier: MIT */
/* The daytime server (RFC 867): one thread, one epoll, no allocation after the start. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "daytime/closing.h"
#include "daytime/conns.h"
#include "daytime/counters.h"
#include "daytime/format.h"
#include "daytime/log.h"
#include "daytime/source.h"
#include "daytime/udp.h"

#define LISTENERS_MAX 8

/* What becomes of a connection once its reply is sent. */
enum after_reply {
	AFTER_CLOSE, /* close it, correctly */
	AFTER_KEEP,  /* never close it */
	AFTER_HOLD,  /* close it later */
};

enum log_level {
	LOG_QUIET,       /* the start, and what ends the service */
	LOG_EVENTS,      /* also what goes wrong, at most one line a second of each kind */
	LOG_CONNECTIONS, /* also every connection, as it ends */
};

struct server_config {
	struct daytime_format format;
	enum after_reply after;
	enum log_level log_level;
	int64_t hold_ns;
	int64_t drain_ns;         /* how long to wait for a client's end of stream */
	uint64_t drain_bytes;     /* how much to read until then */
	unsigned workers;         /* that share the limits */
	uint32_t max_connections; /* at any one time */
	uint32_t max_per_source;  /* of these, from one IPv4 address or IPv6 /64 */
	int64_t grace_ns;         /* how long SIGTERM waits for what is in flight */
	int health;               /* the NIST form's health digit; -1: as the kernel's clock says */
	struct timespec (*clock)(void); /* since 1970; NULL: CLOCK_REALTIME */
};

/* A kind of event that is logged at most once a second. */
struct log_gate {
	int64_t next;
	uint64_t skipped;
};

struct server {
	const struct server_config *config;
	struct log *log;
	struct conns conns;
	struct closing closing; /* empty between rounds */
	struct sources *sources;
	struct counters *count;
	struct udp *udp; /* NULL: not served */
	int listener[LISTENERS_MAX];
	unsigned listeners;
	int epoll, signals;
	int notify;               /* the service manager, to be told of the stop; -1: nobody */
	int reserve;              /* a descriptor to give up when none is left; -1: given up */
	bool paused;              /* the listeners are not waited for */
	int64_t resume_at;        /* CLOCK_MONOTONIC, while paused */
	int64_t backoff;          /* nanoseconds of the last pause for want of memory; 0: none */
	unsigned accept_failures; /* in a row, each of which was one connection's */
	int last_accept_error;
	bool stopping;
	int64_t stop_at; /* CLOCK_MONOTONIC, while stopping */
	int64_t now;     /* CLOCK_MONOTONIC, when the present round began */
	int64_t log_at;  /* when what waits in the log is handed on; 0: nothing waits */
	struct log_gate shed, refused, failed, report;
	struct daytime_moment moment; /* that `text` says */
	int text_len;                 /* 0: no text yet */
	char text[DAYTIME_TEXT_MAX + 1];
};

/* Makes a server on listening, non-blocking sockets, which stay the caller's, as `udp` does and
 * `sources`, which several servers may share. Blocks the signals that server_run() reads, and
 * ignores SIGPIPE. Allocates all that it ever will. `notify` is the caller's to set afterwards.
 * Returns 0 or -errno. */
int server_open(struct server *s, const struct server_config *c, const int *listeners,
		unsigned count, struct sources *sources, struct udp *udp, struct log *log,
		struct counters *counters, struct err *e);

/* Serves until SIGTERM, SIGINT or SIGHUP, then finishes what is in flight. SIGUSR1 ends every hold,
 * SIGUSR2 logs the counters. Returns 0, or -errno when serving cannot go on. */
int server_run(struct server *s, struct err *e);

/* Closes every connection and frees the tables. */
void server_close(struct server *s);

/* Blocks the server's signals and opens a descriptor that they are read from, or -errno. */
int server_signals(void);

/* Whether an event of this kind may be logged now; if not it is counted in `skipped`. */
bool log_gate_pass(struct log_gate *g, int64_t now);
