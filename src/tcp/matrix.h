/* SPDX-License-Identifier: MIT */
/* The matrix of closing states and what may happen in them, as the catalogue covers it. Pure. */
#pragma once

#include <stdint.h>

#include "tcp/timeline.h"

enum matrix_event {
	/* calls */
	MATRIX_CLOSE,      /* close() */
	MATRIX_ABORT,      /* close() with SO_LINGER on and 0 s */
	MATRIX_SHUT_WRITE, /* shutdown(SHUT_WR) or SHUT_RDWR */
	MATRIX_SHUT_READ,  /* shutdown(SHUT_RD) */
	MATRIX_WRITE,
	MATRIX_READ_DATA, /* a read that returns data */
	MATRIX_READ_END,  /* a read that returns 0 or fails */
	MATRIX_EXIT,      /* the process ends with the descriptor open */
	/* segments that arrive */
	MATRIX_ACK,     /* of the FIN that this end has sent */
	MATRIX_DATA,    /* data */
	MATRIX_FIN,     /* the other end's FIN, for the first time */
	MATRIX_OLD_FIN, /* a FIN that changes nothing: received before, or out of place */
	MATRIX_RST,
	MATRIX_SYN,
	/* timers */
	MATRIX_RETRANSMIT, /* data or FIN sent again */
	MATRIX_PROBE,      /* the peer's shut window is probed */
	MATRIX_KEEPALIVE,  /* a keepalive probe is sent */
	MATRIX_RUNS_OUT,   /* the state's own timer ends it */
	MATRIX_GIVES_UP,   /* retransmissions or probes without an answer end it */
	MATRIX_EVENT_COUNT
};

#define MATRIX_STATE_COUNT 6

/* The states of the matrix, in the order in which it shows them: TCPS_*. */
extern const uint8_t matrix_states[MATRIX_STATE_COUNT];

/* What covers a cell: exactly one of the two is given. */
struct matrix_cell {
	const char *scenario; /* its name */
	const char *reason;   /* why the cell cannot be reached */
};

/* The cell of matrix_states[state] and an event. Static. */
const struct matrix_cell *matrix_cell(unsigned state, enum matrix_event event);

/* "close", "old-fin": for scripts. Static. */
const char *matrix_event_name(enum matrix_event event);

/* "close()", "FIN again": for people, 14 columns at most. Static. */
const char *matrix_event_title(enum matrix_event event);

/* Which cells a run's timeline goes through: sets seen[state][event] to true where it does, and
 * leaves the others as they are. */
void matrix_visits(const struct tl_run *run, bool seen[MATRIX_STATE_COUNT][MATRIX_EVENT_COUNT]);
