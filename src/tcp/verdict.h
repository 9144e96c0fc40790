/* SPDX-License-Identifier: MIT */
/* Verdicts: what a sample means. Pure rules from one end's sample, and from who holds it, to a
 * named cause, an age, and the numbers that both rest on. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcp/sample.h"

enum tcp_cause {
	TCP_CAUSE_NONE = 0, /* nothing is wrong or unfinished: ESTABLISHED, LISTEN, ... */
	TCP_CAUSE_UNREAD,
	TCP_CAUSE_TOLD,
	TCP_CAUSE_DRAINED,
	TCP_CAUSE_NOT_ACCEPTED,
	TCP_CAUSE_SHARED,
	TCP_CAUSE_NO_DESCRIPTOR,
	TCP_CAUSE_REPLYING,
	TCP_CAUSE_CLOSING, /* FIN_WAIT_1, CLOSING or LAST_ACK, and nothing lost so far: normal */
	TCP_CAUSE_PEER_GONE,
	TCP_CAUSE_SEND_BLOCKED,
	TCP_CAUSE_HALF_CLOSED_HERE,
	TCP_CAUSE_ORPHAN,
	TCP_CAUSE_DEAD,
	TCP_CAUSE_TIME_WAIT,
	TCP_CAUSE_COUNT
};

#define TCP_CAUSE_BIT(cause) (1u << (cause))

/* Causes that end by themselves or are no fault; every other one stays until a program or a person
 * acts. */
#define TCP_CAUSES_NORMAL                                                          \
	(TCP_CAUSE_BIT(TCP_CAUSE_NONE) | TCP_CAUSE_BIT(TCP_CAUSE_REPLYING) |       \
	 TCP_CAUSE_BIT(TCP_CAUSE_CLOSING) | TCP_CAUSE_BIT(TCP_CAUSE_PEER_GONE) |   \
	 TCP_CAUSE_BIT(TCP_CAUSE_SEND_BLOCKED) | TCP_CAUSE_BIT(TCP_CAUSE_ORPHAN) | \
	 TCP_CAUSE_BIT(TCP_CAUSE_TIME_WAIT))

/* Time in the present state. AT_LEAST: it may be older, it cannot be younger. */
enum tcp_age_is {
	TCP_AGE_UNKNOWN = 0,
	TCP_AGE_AT_LEAST,
	TCP_AGE_EXACT,
};

/* What is known beside the sample. */
struct tcp_context {
	uint32_t processes; /* that hold a descriptor of it, as far as seen */
	bool all_seen;      /* no other process can hold one: every descriptor was looked at */
	bool told;          /* proven by tracing: a read returned 0 */
	/* Proven by a second look: more was sent (CLOSE_WAIT) or received (FIN_WAIT_2). */
	bool flowing;
	uint32_t fin_timeout_ms; /* tcp_fin_timeout of its namespace; 0: unknown */
};

struct tcp_verdict {
	uint8_t cause;   /* enum tcp_cause */
	uint8_t age_is;  /* enum tcp_age_is */
	uint64_t age_ms; /* 0 where unknown */
};

/* One number that a cause rests on. */
struct tcp_evidence {
	const char *name; /* static, "last_data_sent_ms" */
	int64_t value;
};
#define TCP_EVIDENCE_MAX 8

/* "not-accepted"; "none" for TCP_CAUSE_NONE, "?" for a number that is no cause. Never NULL; static.
 */
const char *tcp_cause_name(unsigned cause);

/* Reads a cause's name ('_' for '-' is taken). Returns the cause, or -1. */
int tcp_cause_parse(const char *name);

/* A clause without a full stop: what the cause means. Never NULL; static. */
const char *tcp_cause_meaning(unsigned cause);

/* What to do about it, one short line; NULL where there is nothing to do. Static. */
const char *tcp_cause_advice(unsigned cause);

/* "exact", "at-least", "unknown". Static. */
const char *tcp_age_is_name(unsigned age_is);

/* The rules. Never says TCP_CAUSE_TOLD unless the context does. An inode of 0 in the sample means
 * that the kernel gave none: no descriptor was ever made (a connection not yet accepted), or the
 * last one is closed (an orphan). */
struct tcp_verdict tcp_verdict(const struct tcp_sample *s, const struct tcp_context *c);

/* Whether the end may be one of a half-close in use, and only a second look can tell. */
bool tcp_may_be_replying(const struct tcp_sample *s);

/* What grows between two looks where a half-close is in use: bytes sent in CLOSE_WAIT, bytes
 * received in FIN_WAIT_2. */
uint64_t tcp_flow(const struct tcp_sample *s);

/* Whether a socket without a connection (CLOSE) once had one. A connect that was refused got one
 * segment, the RST, and is none; connect(AF_UNSPEC) sets everything that this looks at to zero. */
bool tcp_was_connected(const struct tcp_sample *s);

/* The numbers behind `v.cause`, at most TCP_EVIDENCE_MAX. Returns how many. */
size_t tcp_evidence(const struct tcp_sample *s, const struct tcp_verdict *v,
		    const struct tcp_context *c, struct tcp_evidence out[TCP_EVIDENCE_MAX]);
