/* SPDX-License-Identifier: MIT */
/* The states of a TCP end: RFC 9293 §3.3.2, with the numbers and names that Linux uses for them
 * (include/net/tcp_states.h). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* BSD's prefix, Linux's numbers: <netinet/tcp.h> and <linux/tcp.h> exclude one another, and either
 * may be needed beside this. */
enum tcp_state {
	TCPS_GONE = 0, /* no such connection in the kernel: never made, or finished and forgotten */
	TCPS_ESTABLISHED = 1,
	TCPS_SYN_SENT = 2,
	TCPS_SYN_RECV = 3,
	TCPS_FIN_WAIT1 = 4,
	TCPS_FIN_WAIT2 = 5,
	TCPS_TIME_WAIT = 6,
	TCPS_CLOSE = 7, /* a socket without a connection */
	TCPS_CLOSE_WAIT = 8,
	TCPS_LAST_ACK = 9,
	TCPS_LISTEN = 10,
	TCPS_CLOSING = 11,
	TCPS_NEW_SYN_RECV = 12, /* a request that has no socket yet; shown as SYN_RECV */
	TCPS_COUNT
};

/* Bit of a state in a set of states. */
#define TCP_BIT(state) (1u << (state))

/* The states in which one end has sent or received a FIN and the connection is not finished. */
#define TCP_HALF_CLOSED                                                                 \
	(TCP_BIT(TCPS_FIN_WAIT1) | TCP_BIT(TCPS_FIN_WAIT2) | TCP_BIT(TCPS_CLOSE_WAIT) | \
	 TCP_BIT(TCPS_LAST_ACK) | TCP_BIT(TCPS_CLOSING))

/* The field's name: "CLOSE_WAIT"; "gone" for TCPS_GONE, "CLOSED" for TCPS_CLOSE (a socket without a
 * connection), "?" for a number that is no state. Never NULL; static. */
const char *tcp_state_name(unsigned state);

/* Reads a state's name: any case, '-' for '_', ss's short forms (ESTAB, FIN-WAIT-1, CLOSE-WAIT)
 * and "CLOSED" included. Returns the state, or -1. */
int tcp_state_parse(const char *name);

/* Whether an end may be seen in `to` right after it was seen in `from`, when every packet and call
 * between is looked at: the arcs of RFC 9293 figure 5, and the further ones that its text allows
 * (a reset, an abort, FIN_WAIT_1 to TIME_WAIT on a segment that carries both). Staying is legal. */
bool tcp_transition_is_legal(unsigned from, unsigned to);
