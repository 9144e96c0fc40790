/* SPDX-License-Identifier: MIT */
/* Writes the record of a run (tcp/timeline.h): events in order, each with both ends' states. */
#pragma once

#include "base/err.h"
#include "lab/net.h"
#include "tcp/segment.h"
#include "tcp/timeline.h"

/* A connect() whose connection has not been seen so far. */
struct record_connect {
	uint32_t event; /* its index, and one; 0: free */
	uint8_t side;
	struct tcp_addr local;
};
#define RECORD_MAX_CONNECTS 64

struct record {
	struct tl_run *run;
	const struct lab_net *net;
	int64_t start_ns;                      /* CLOCK_MONOTONIC of t_us == 0 */
	struct tl_state last[TL_MAX_CONNS][2]; /* as last recorded */
	uint32_t seq_end[TL_MAX_CONNS][2];     /* highest relative sequence number sent, and one */
	uint64_t cookie[TL_MAX_CONNS][2]; /* of the sockets, once an actor has used them; else 0 */
	struct record_connect connects[RECORD_MAX_CONNECTS];
	bool replaced[TL_MAX_CONNS]; /* a later connection has the same addresses */
	bool follows[TL_MAX_CONNS];  /* an earlier one had them */
	bool told[TL_MAX_CONNS][2];  /* that end's program has read the end of the stream */
};

/* Begins; `run` must be zeroed but for what the caller knows of the scenario. */
void record_start(struct record *rec, struct tl_run *run, const struct lab_net *net);

/* Microseconds since the start. */
int64_t record_now_us(const struct record *rec);

/* The connection with these addresses as seen from `side`, newest first; TL_NO_CONN where there is
 * none. Addresses that are IPv4 in IPv6 count as IPv4. */
uint16_t record_find_conn(const struct record *rec, enum tl_side side, const struct tcp_addr *local,
			  const struct tcp_addr *peer);

/* The newest connection whose end on `side` is the socket with this cookie, or TL_NO_CONN. */
uint16_t record_find_cookie(const struct record *rec, enum tl_side side, uint64_t cookie);

/* Adds a connection; TL_NO_CONN, counted, where the table is full. */
uint16_t record_add_conn(struct record *rec, const struct tcp_addr *client,
			 const struct tcp_addr *server);

/* The connection that the connect() of event number `event` makes from `local`: where none is known
 * so far, TL_NO_CONN, and the event gets its connection when its SYN is seen. */
uint16_t record_connect_conn(struct record *rec, uint32_t event, enum tl_side side,
			     const struct tcp_addr *local);

/* Asks both kernels for the state of a connection's ends. A kernel that does not answer leaves the
 * last known state, and the run's error says so. Returns 0 or -errno with text. */
int record_ask(struct record *rec, uint16_t conn, struct tl_state states[2], struct err *e);

/* Asks for one end, whole. Returns 0 or -errno with text. */
int record_sample(struct record *rec, uint16_t conn, enum tl_side side, struct tcp_sample *s,
		  struct err *e);

/* Adds an event with the connection's last known states beside it. Returns it, to be filled
 * further, or NULL, counted, where the record is full. Valid until the next run. */
struct tl_event *record_event(struct record *rec, enum tl_kind kind, enum tl_side from,
			      uint16_t conn);

/* Adds a TL_STATE event where a connection's states differ from those last recorded. */
int record_changes(struct record *rec, uint16_t conn, struct err *e);

/* Adds a decoded packet with its frame. `before` is what the ends were in when it was taken off the
 * wire. Returns as record_event(). */
struct tl_event *record_packet(struct record *rec, enum tl_side from, uint16_t conn,
			       const struct tcp_segment *seg, const void *frame, size_t len,
			       enum tl_fate fate, const struct tl_state before[2]);

/* Ends an event: `states` are the last known from now on. */
void record_after(struct record *rec, struct tl_event *v, uint16_t conn,
		  const struct tl_state states[2]);

/* Notes that the run is over, with its status and, unless it is empty, the error text. The first
 * word stays: a later one does not replace it. */
void record_finish(struct record *rec, enum tl_status status, const char *error);
