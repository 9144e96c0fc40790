/* SPDX-License-Identifier: MIT */
/* The daytime server (RFC 867): one thread, one epoll, no allocation after the start. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "daytime/conns.h"
#include "daytime/format.h"
#include "daytime/log.h"

/* What becomes of a connection once its reply is sent. */
enum after_reply {
	AFTER_CLOSE, /* close it, correctly */
	AFTER_KEEP,  /* never close it */
	AFTER_HOLD,  /* close it later */
};

struct server_config {
	struct daytime_format format;
	enum after_reply after;
	int64_t hold_ns;
	int64_t drain_ns;         /* how long to wait for a client's end of stream */
	uint64_t drain_bytes;     /* how much to read until then */
	uint32_t max_connections; /* at any one time */
	int64_t grace_ns;         /* how long SIGTERM waits for what is in flight */
};

struct counters {
	uint64_t accepted;
	uint64_t replied;
	uint64_t refused_full;    /* max_connections were open */
	uint64_t reset_time;      /* reset by us: the drain's time was up */
	uint64_t reset_bytes;     /* reset by us: the client sent too much */
	uint64_t reset_by_client; /* a read or a send found the connection reset */
	uint64_t send_failed;     /* any other failure to send */
	uint64_t accept_errors;
};

struct server {
	const struct server_config *config;
	struct log *log;
	struct conns conns;
	struct counters *count;
	int epoll, listener, signals;
	bool paused;       /* the listener is not waited for */
	int64_t resume_at; /* CLOCK_MONOTONIC, while paused */
	bool stopping;
	int64_t stop_at; /* CLOCK_MONOTONIC, while stopping */
	int64_t now;     /* CLOCK_MONOTONIC, when the present round began */
	time_t text_of;  /* the second that `text` says; CLOCK_REALTIME */
	int text_len;    /* 0: no text yet */
	char text[DAYTIME_TEXT_MAX + 1];
};

/* Makes a server on a listening, non-blocking socket, which stays the caller's. Blocks the signals
 * that server_run() reads. Returns 0 or -errno. */
int server_open(struct server *s, const struct server_config *c, int listener, struct log *log,
		struct counters *count, struct err *e);

/* Serves until SIGTERM, SIGINT or SIGHUP, then finishes what is in flight. SIGUSR1 ends every hold.
 * Returns 0, or -errno when serving cannot go on. */
int server_run(struct server *s, struct err *e);

/* Closes every connection and frees the table. */
void server_close(struct server *s);
