/* SPDX-License-Identifier: MIT */
/* The record of one lab run: what passed on the wire, what the programs called, which states both
 * ends were in meanwhile, what was expected and what was seen.
 *
 * It is plain data without pointers and of a fixed size, because it lies in memory that the run's
 * process and the program that shows it share: whatever ends the run, the record so far is there.
 * Pages that are not written cost nothing. What does not fit is counted, never silently dropped. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcp/sample.h"

/* The two ends of a connection, by who connected. Also the two hosts of the lab. */
enum tl_side {
	TL_CLIENT = 0,
	TL_SERVER = 1,
	TL_NOBODY = 2, /* neither: a step of the script */
};

#define TL_MAX_EVENTS       8192
#define TL_MAX_CONNS        2048
#define TL_MAX_EXPECTS      256
#define TL_MAX_OBSERVATIONS 32
#define TL_MAX_HOLDERS      8
#define TL_FRAME_BYTES      (4u << 20)

/* One end's state beside an event. */
struct tl_state {
	uint8_t state;    /* TCPS_* */
	uint8_t timer;    /* enum tcp_timer */
	uint8_t shutdown; /* TCP_SHUT_* */
	uint8_t retransmits;
	bool orphan; /* a socket, or time-wait entry, without a descriptor */
	uint32_t timer_ms;
	uint32_t recv_q, send_q;
};

/* TCP header flags, as on the wire (RFC 9293 §3.1). */
#define TL_FIN 0x01
#define TL_SYN 0x02
#define TL_RST 0x04
#define TL_PSH 0x08
#define TL_ACK 0x10
#define TL_URG 0x20
#define TL_ECE 0x40
#define TL_CWR 0x80

/* What the wire did with a packet. */
enum tl_fate {
	TL_DELIVERED = 0,
	TL_DROPPED,    /* never arrives */
	TL_HELD,       /* taken off the wire; a later event with the same frame delivers it */
	TL_RELEASED,   /* delivered after it was held or delayed */
	TL_DUPLICATED, /* delivered a second time */
	TL_INJECTED,   /* from nobody: the scenario made it, in the name of `from` */
};

struct tl_packet {
	uint8_t flags;       /* TL_FIN ... */
	uint8_t fate;        /* enum tl_fate */
	bool retransmission; /* brings no new sequence number */
	uint16_t len;        /* bytes of data */
	uint32_t seq, ack;   /* relative to each side's initial sequence number; the SYN is 0 */
	uint32_t window;     /* bytes, the window scale applied */
	uint32_t frame_off, frame_len; /* of the Ethernet frame in tl_run.frames; len 0: not kept */
};

/* A call that an actor made on a TCP socket, or its exit or death. Calls that wait (accept, read)
 * stand where they returned, calls that act (connect, write, shutdown, close, exit) where they
 * began. */
struct tl_call {
	char name[16];   /* "connect", "accept", "read", "write", "shutdown", "close", "exit",
			    "killed" ... */
	char detail[48]; /* "25 bytes", "end of stream", "SHUT_WR", "SO_LINGER 0"; may be empty */
	char comm[16];   /* the program's name */
	int32_t pid;     /* in the run's own pid namespace */
	int32_t fd;      /* -1 where none */
	bool returned;   /* false: has not returned so far */
	int64_t result;  /* what it returned, exit status or signal; on failure -errno */
};

enum tl_kind {
	TL_PACKET = 0,
	TL_CALL,
	TL_STATE,   /* a state changed by a timer, with neither packet nor call */
	TL_STEP,    /* the script says what comes next: `text` */
	TL_OBSERVE, /* observations[observation] was taken here */
};

struct tl_event {
	int64_t t_us;  /* since the run's start */
	uint8_t kind;  /* enum tl_kind */
	uint8_t from;  /* enum tl_side: who sent or called */
	uint16_t conn; /* index into conns; TL_NO_CONN where it belongs to none */
	struct tl_state
		before[2]; /* when the packet was taken off the wire: the sender has moved on */
	struct tl_state after[2]; /* when it had been delivered, or the call had returned */
	union {
		struct tl_packet packet;
		struct tl_call call;
		uint16_t observation;
		char text[112];
	};
};
#define TL_NO_CONN 0xffff

struct tl_holder {
	int32_t pid, fd;
	char comm[16];
};

/* One end looked at closely. */
struct tl_end {
	struct tcp_sample sample;
	bool holders_known; /* false: the descriptors could not be read */
	bool told;          /* the holder's program has read the end of the stream */
	uint16_t nholders;  /* of which the first TL_MAX_HOLDERS are kept */
	struct tl_holder holders[TL_MAX_HOLDERS];
};

/* Both ends at a moment that the scenario points at. */
struct tl_observation {
	int64_t t_us;
	char title[96]; /* what the script calls it; may be empty */
	uint16_t conn;
	struct tl_end ends[2];
};

struct tl_conn {
	struct tcp_addr addr[2]; /* of the client end, of the server end */
	uint32_t isn[2];
	uint8_t wscale[2];
	bool isn_known[2];
};

struct tl_expect {
	bool passed;
	uint8_t side;   /* enum tl_side; TL_NOBODY where it is not about an end */
	uint16_t event; /* how many events there were when it was decided */
	int64_t t_us;
	char wanted[96]; /* "FIN_WAIT_2", "CLOSE_WAIT or LAST_ACK" */
	char seen[96];   /* what was the case when it was decided */
	char where[192]; /* script file and line */
};

enum tl_status {
	TL_RUNNING = 0, /* the run ended without saying how: it was killed */
	TL_PASSED,
	TL_FAILED, /* an expectation was not met */
	TL_BROKEN, /* an actor or the lab failed: `error` says how */
	TL_CANNOT, /* this host does not allow it: `error` says what */
	TL_SCRIPT, /* the script is wrong: `error` says where */
};

/* The names of the conclusions that runs may bear on; what they say is report/lab_text_summary.c's.
 */
#define TL_CONCLUSIONS 2
extern const char *const tl_conclusions[TL_CONCLUSIONS];

struct tl_run {
	char name[64]; /* "server-never-closes" */
	char title[96];
	char source[192]; /* "experiment 2" */
	char rfc[32];     /* "3.6": section of RFC 9293 */
	char shows[768];  /* the scenario's own explanation; lines separated by \n */
	char conclusion[TL_CONCLUSIONS][32]; /* names of the conclusions that this run bears on */
	uint8_t status;                      /* enum tl_status */
	uint8_t loss;                        /* percent of the packets that chance took */
	bool loopback;                       /* states without packets: namespaces were refused */
	char error[512];
	struct tcp_addr host[2];  /* the hosts' addresses; port 0 */
	int64_t started_ns;       /* CLOCK_REALTIME at t_us == 0 */
	int64_t setup_us, run_us; /* where the time went: namespaces and wire; the script */
	uint64_t state_queries;

	uint32_t nevents, events_lost;
	uint32_t nconns, conns_lost;
	uint32_t nexpects, expects_lost;
	uint32_t nobservations, observations_lost;
	uint32_t frames_len, frames_lost;
	uint32_t late;             /* sent again only because the lab was slow, and left out */
	uint16_t main_observation; /* the moment the scenario is about; an index */
	struct tl_conn conns[TL_MAX_CONNS];
	struct tl_expect expects[TL_MAX_EXPECTS];
	struct tl_observation observations[TL_MAX_OBSERVATIONS]; /* the last is how it ended */
	struct tl_event events[TL_MAX_EVENTS];
	uint8_t frames[TL_FRAME_BYTES];
};

/* "SYN ACK", "PSH ACK", "FIN ACK"; in the order SYN FIN RST PSH URG ECE CWR ACK. Returns buf. */
#define TL_FLAGS_TEXT 40
char *tl_flags_text(uint8_t flags, char buf[TL_FLAGS_TEXT]);

/* Takes what an event needs of a sample. */
struct tl_state tl_state_of(const struct tcp_sample *s);

/* Checks every state change of the run against RFC 9293's diagram (tcp_transition_is_legal()).
 * Returns true where all are legal; else false with one line on the first that is not. */
struct err;
bool tl_run_is_legal(const struct tl_run *run, struct err *e);
