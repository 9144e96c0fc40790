/* SPDX-License-Identifier: MIT */
#include "tcp/matrix.h"

static const struct {
	const char *name, *title;
} events[MATRIX_EVENT_COUNT] = {
	[MATRIX_CLOSE] = { "close", "close()" },
	[MATRIX_ABORT] = { "abort", "close(), SO_LINGER 0" },
	[MATRIX_SHUT_WRITE] = { "shutdown-write", "shutdown(SHUT_WR)" },
	[MATRIX_SHUT_READ] = { "shutdown-read", "shutdown(SHUT_RD)" },
	[MATRIX_WRITE] = { "write", "write()" },
	[MATRIX_READ_DATA] = { "read-data", "read() of data" },
	[MATRIX_READ_END] = { "read-end", "read() of nothing" },
	[MATRIX_EXIT] = { "exit", "the process ends" },
	[MATRIX_ACK] = { "ack-of-fin", "ACK of the FIN" },
	[MATRIX_DATA] = { "data", "data" },
	[MATRIX_FIN] = { "fin", "FIN" },
	[MATRIX_OLD_FIN] = { "old-fin", "FIN again" },
	[MATRIX_RST] = { "rst", "RST" },
	[MATRIX_SYN] = { "syn", "SYN" },
	[MATRIX_RETRANSMIT] = { "retransmit", "retransmission" },
	[MATRIX_PROBE] = { "probe", "window probe" },
	[MATRIX_KEEPALIVE] = { "keepalive", "keepalive probe" },
	[MATRIX_RUNS_OUT] = { "runs-out", "own timer runs out" },
	[MATRIX_GIVES_UP] = { "gives-up", "nobody answers" },
};

const char *matrix_event_name(enum matrix_event event)
{
	return events[event].name;
}

const char *matrix_event_title(enum matrix_event event)
{
	return events[event].title;
}

static const struct matrix_cell cells[MATRIX_STATE_COUNT][MATRIX_EVENT_COUNT];

const struct matrix_cell *matrix_cell(unsigned state, enum matrix_event event)
{
	return &cells[state][event];
}
