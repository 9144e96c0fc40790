/* SPDX-License-Identifier: MIT */
/* A run as rows to be drawn. Terminal, picture and page show the same rows: which packet goes
 * where, which state appears beside it, which expectations were decided there, and what is folded
 * away because it only repeats.
 *
 * Folding: a long stretch of events that change no state, or of packets that are all alike, keeps
 * its first and last events; one row stands for those between. Where there are many connections,
 * the first, the one that the scenario is about and the last are shown, and the others counted. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "tcp/timeline.h"

enum story_kind {
	STORY_PACKET,
	STORY_CALL,
	STORY_STATE,   /* a state that changed with neither packet nor call */
	STORY_STEP,    /* the script's heading */
	STORY_OBSERVE, /* both ends looked at */
	STORY_EXPECT,  /* expectations decided between two events */
	STORY_FOLD,    /* `count` events that are not shown, from `event` on */
	STORY_CONN,    /* the rows that follow are of another connection */
};

struct story_row {
	uint8_t kind;     /* enum story_kind */
	uint8_t from, to; /* enum tl_side: a packet's sender and receiver; `from`: who called */
	uint8_t state[2]; /* of both ends when the row is done */
	bool changed[2];  /* the state is another than on the row before */
	uint16_t conn;    /* TL_NO_CONN where it belongs to none */
	uint32_t event;   /* index into the run's events, except for STORY_EXPECT */
	uint32_t count;   /* STORY_FOLD: how many events, of which `ncalls` calls */
	uint32_t ncalls;
	uint64_t bytes[2];     /* STORY_FOLD: data sent by each side */
	uint32_t first_expect; /* expectations decided at this row */
	uint32_t nexpects;
	int64_t t_us; /* since the first event: before it, programs only started */
};

struct story {
	struct story_row *rows;
	size_t n, cap;
};

/* Makes the rows of a run. Returns 0 or -ENOMEM; `s` is to be freed with story_free() after
 * success. The run must outlive the story. */
int story_tell(struct story *s, const struct tl_run *run);
void story_free(struct story *s);

/* "PSH ACK, 25 bytes"; with `fields` also "  seq 1 ack 26 win 65160". */
void story_packet_text(struct buf *out, const struct tl_packet *p, bool fields);

/* "read 25 bytes", "read: end of stream", "write: EPIPE", "exit 0". Escaped. */
void story_call_text(struct buf *out, const struct tl_call *c, bool utf8);

/* As above for the call of a row, with the program's name before it where it is not the one that
 * stands at the head of its side: "child: close". */
void story_row_call_text(struct buf *out, const struct tl_run *run, const struct story_row *row,
			 bool utf8);

/* "37 more packets, 52000 bytes to the server", "5 events of other connections". */
void story_fold_text(struct buf *out, const struct tl_run *run, const struct story_row *row);

/* What the wire did to a packet, in a word or two: "lost", "held", "released", "a copy", "from
 * nobody"; "" for one that went through. */
const char *story_fate_text(const struct tl_packet *p);

/* "server CLOSE_WAIT" where met, "server: wanted CLOSE_WAIT, saw gone" where not. Escaped. */
void story_expect_text(struct buf *out, const struct tl_expect *x, bool utf8);

/* Why a state changed with neither packet nor call: "timer", "kernel" (it closed for a process that
 * has ended), "" where that is not known. */
const char *story_change_text(const struct tl_run *run, const struct story_row *row);

/* "client", "server", "nobody". */
const char *story_side_name(unsigned side);

/* The first program that called on a side, or NULL. */
const struct tl_call *story_actor(const struct tl_run *run, unsigned side);

/* The connection that the scenario is about; NULL where none was made. */
const struct tl_conn *story_conn(const struct tl_run *run);

/* The observation that the scenario is about, and the last; NULL where none was taken. */
const struct tl_observation *story_main(const struct tl_run *run);
const struct tl_observation *story_final(const struct tl_run *run);

/* A time since the start: "2.6" in milliseconds, "1.5s" from a second on; at most five letters up
 * to 2 h. Returns buf. */
#define STORY_TIME_TEXT 24
char *story_time_text(int64_t t_us, char buf[STORY_TIME_TEXT]);

/* "connection 6, client 10.0.0.1:40005" */
void story_conn_text(struct buf *out, const struct tl_run *run, const struct story_row *row);

/* The row in words, for who hears it: "0.5 ms: the client calls close. The client is now in
 * FIN_WAIT_1." Escaped, UTF-8. */
void story_row_text(struct buf *out, const struct tl_run *run, const struct story_row *row);

/* Adds a fixed-size field that may lack its NUL, escaped. */
void story_field(struct buf *out, const char *field, size_t cap, bool utf8);
