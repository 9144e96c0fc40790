/* SPDX-License-Identifier: MIT */
#include "tcp/matrix.h"

static const struct {
	const char *name, *title;
} events[MATRIX_EVENT_COUNT] = {
	[MATRIX_CLOSE] = { "close", "close()" },
	[MATRIX_ABORT] = { "abort", "abort" },
	[MATRIX_SHUT_WRITE] = { "shutdown-write", "shutdown WR" },
	[MATRIX_SHUT_READ] = { "shutdown-read", "shutdown RD" },
	[MATRIX_WRITE] = { "write", "write()" },
	[MATRIX_READ_DATA] = { "read-data", "read() data" },
	[MATRIX_READ_END] = { "read-end", "read() end" },
	[MATRIX_EXIT] = { "exit", "process ends" },
	[MATRIX_ACK] = { "ack-of-fin", "ACK of FIN" },
	[MATRIX_DATA] = { "data", "data" },
	[MATRIX_FIN] = { "fin", "FIN" },
	[MATRIX_OLD_FIN] = { "old-fin", "FIN again" },
	[MATRIX_RST] = { "rst", "RST" },
	[MATRIX_SYN] = { "syn", "SYN" },
	[MATRIX_RETRANSMIT] = { "retransmit", "retransmission" },
	[MATRIX_PROBE] = { "probe", "window probe" },
	[MATRIX_KEEPALIVE] = { "keepalive", "keepalive" },
	[MATRIX_RUNS_OUT] = { "runs-out", "own timer" },
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

/* Why a cell cannot be reached. */
#define ACKED        "its FIN is acknowledged already"
#define NO_FIN_SENT  "it has sent no FIN"
#define FIN_CAME     "the other end's FIN has come: any further one is old"
#define NOTHING_LEFT "all that it sent is acknowledged, and there is no more to send"
#define NO_TIMER     "the state has no timer of its own: it waits for the program or for an ACK"
#define UNACKED \
	"what is not acknowledged is sent again; keepalive keeps quiet meanwhile (tcp_keepalive_timer())"
#define NO_SOCKET "an entry without a socket has no keepalive"
#define SIXTY_SECONDS \
	"it does, after 60 s, which Linux fixes (TCP_TIMEWAIT_LEN): longer than a scenario may take"
#define NOBODY_ASKED "it waits for time to pass, not for an answer"

#define BY(name)           \
	{                  \
		name, NULL \
	}
#define NOT(why)          \
	{                 \
		NULL, why \
	}

/* tests/run/catalogue.py holds each against the timelines. */
static const struct matrix_cell cells[MATRIX_STATE_COUNT][MATRIX_EVENT_COUNT] = {
	[0] = { /* FIN_WAIT_1 */
		[MATRIX_CLOSE] = BY("calls-in-fin-wait-1"),
		[MATRIX_ABORT] = BY("abort-in-each-closing-state"),
		[MATRIX_SHUT_WRITE] = BY("calls-in-fin-wait-1"),
		[MATRIX_SHUT_READ] = BY("calls-in-fin-wait-1"),
		[MATRIX_WRITE] = BY("calls-in-fin-wait-1"),
		[MATRIX_READ_DATA] = BY("calls-in-fin-wait-1"),
		[MATRIX_READ_END] = BY("calls-in-fin-wait-1"),
		[MATRIX_EXIT] = BY("exit-in-each-closing-state"),
		[MATRIX_ACK] = BY("shutdown-then-close"),
		[MATRIX_DATA] = BY("calls-in-fin-wait-1"),
		[MATRIX_FIN] = BY("both-close-fins-cross"),
		[MATRIX_OLD_FIN] = BY("strays-in-each-closing-state"),
		[MATRIX_RST] = BY("rst-in-fin-wait-1"),
		[MATRIX_SYN] = BY("strays-in-each-closing-state"),
		[MATRIX_RETRANSMIT] = BY("fin-lost"),
		[MATRIX_PROBE] = BY("zero-window-in-each-closing-state"),
		[MATRIX_KEEPALIVE] = NOT(UNACKED),
		[MATRIX_RUNS_OUT] = NOT(NO_TIMER),
		[MATRIX_GIVES_UP] = BY("orphan-retries-run-out"),
	},
	[1] = { /* FIN_WAIT_2 */
		[MATRIX_CLOSE] = BY("shutdown-then-close"),
		[MATRIX_ABORT] = BY("abort-in-each-closing-state"),
		[MATRIX_SHUT_WRITE] = BY("calls-in-fin-wait-2"),
		[MATRIX_SHUT_READ] = BY("calls-in-fin-wait-2"),
		[MATRIX_WRITE] = BY("calls-in-fin-wait-2"),
		[MATRIX_READ_DATA] = BY("client-shutdown-server-writes-on"),
		[MATRIX_READ_END] = BY("calls-in-fin-wait-2"),
		[MATRIX_EXIT] = BY("exit-in-each-closing-state"),
		[MATRIX_ACK] = NOT(ACKED),
		[MATRIX_DATA] = BY("close-peer-writes-rst-then-epipe"),
		[MATRIX_FIN] = BY("server-close-client-close"),
		[MATRIX_OLD_FIN] = BY("old-fin-in-fin-wait-2"),
		[MATRIX_RST] = BY("rst-in-fin-wait-2"),
		[MATRIX_SYN] = BY("strays-in-each-closing-state"),
		[MATRIX_RETRANSMIT] = NOT(NOTHING_LEFT),
		[MATRIX_PROBE] = NOT(NOTHING_LEFT),
		[MATRIX_KEEPALIVE] = BY("keepalive-in-fin-wait-2"),
		[MATRIX_RUNS_OUT] = BY("fin-wait-2-orphan-runs-out"),
		[MATRIX_GIVES_UP] = BY("keepalive-in-fin-wait-2"),
	},
	[2] = { /* CLOSING */
		[MATRIX_CLOSE] = BY("calls-in-closing"),
		[MATRIX_ABORT] = BY("abort-in-each-closing-state"),
		[MATRIX_SHUT_WRITE] = BY("calls-in-closing"),
		[MATRIX_SHUT_READ] = BY("calls-in-closing"),
		[MATRIX_WRITE] = BY("calls-in-closing"),
		[MATRIX_READ_DATA] = BY("calls-in-closing"),
		[MATRIX_READ_END] = BY("calls-in-closing"),
		[MATRIX_EXIT] = BY("exit-in-each-closing-state"),
		[MATRIX_ACK] = BY("both-close-fins-cross"),
		[MATRIX_DATA] = BY("strays-in-each-closing-state"),
		[MATRIX_FIN] = NOT(FIN_CAME),
		[MATRIX_OLD_FIN] = BY("closing-ack-lost"),
		[MATRIX_RST] = BY("rst-in-closing"),
		[MATRIX_SYN] = BY("strays-in-each-closing-state"),
		[MATRIX_RETRANSMIT] = BY("closing-ack-lost"),
		[MATRIX_PROBE] = BY("zero-window-in-each-closing-state"),
		[MATRIX_KEEPALIVE] = NOT(UNACKED),
		[MATRIX_RUNS_OUT] = NOT(NO_TIMER),
		[MATRIX_GIVES_UP] = BY("closing-retries-run-out"),
	},
	[3] = { /* TIME_WAIT */
		[MATRIX_CLOSE] = BY("both-shutdown-then-close"),
		[MATRIX_ABORT] = BY("calls-in-time-wait"),
		[MATRIX_SHUT_WRITE] = BY("calls-in-time-wait"),
		[MATRIX_SHUT_READ] = BY("calls-in-time-wait"),
		[MATRIX_WRITE] = BY("calls-in-time-wait"),
		[MATRIX_READ_DATA] = BY("calls-in-time-wait"),
		[MATRIX_READ_END] = BY("calls-in-time-wait"),
		[MATRIX_EXIT] = BY("exit-in-each-closing-state"),
		[MATRIX_ACK] = NOT(ACKED),
		[MATRIX_DATA] = BY("strays-in-each-closing-state"),
		[MATRIX_FIN] = NOT(FIN_CAME),
		[MATRIX_OLD_FIN] = BY("last-ack-lost"),
		[MATRIX_RST] = BY("rst-in-time-wait"),
		[MATRIX_SYN] = BY("strays-in-each-closing-state"),
		[MATRIX_RETRANSMIT] = NOT(NOTHING_LEFT),
		[MATRIX_PROBE] = NOT(NOTHING_LEFT),
		[MATRIX_KEEPALIVE] = NOT(NO_SOCKET),
		[MATRIX_RUNS_OUT] = NOT(SIXTY_SECONDS),
		[MATRIX_GIVES_UP] = NOT(NOBODY_ASKED),
	},
	[4] = { /* CLOSE_WAIT */
		[MATRIX_CLOSE] = BY("client-close-server-close"),
		[MATRIX_ABORT] = BY("rst-in-fin-wait-2"),
		[MATRIX_SHUT_WRITE] = BY("both-shutdown-then-close"),
		[MATRIX_SHUT_READ] = BY("shut-rd-in-close-wait"),
		[MATRIX_WRITE] = BY("client-shutdown-server-writes-on"),
		[MATRIX_READ_DATA] = BY("closed-in-accept-queue"),
		[MATRIX_READ_END] = BY("checked-before-use"),
		[MATRIX_EXIT] = BY("exit-in-each-closing-state"),
		[MATRIX_ACK] = NOT(NO_FIN_SENT),
		[MATRIX_DATA] = BY("strays-in-each-closing-state"),
		[MATRIX_FIN] = NOT(FIN_CAME),
		[MATRIX_OLD_FIN] = BY("fin-duplicated"),
		[MATRIX_RST] = BY("rst-in-close-wait"),
		[MATRIX_SYN] = BY("strays-in-each-closing-state"),
		[MATRIX_RETRANSMIT] = BY("data-lost-in-close-wait"),
		[MATRIX_PROBE] = BY("zero-window-in-each-closing-state"),
		[MATRIX_KEEPALIVE] = BY("keepalive-in-close-wait"),
		[MATRIX_RUNS_OUT] = NOT(NO_TIMER),
		[MATRIX_GIVES_UP] = BY("keepalive-in-close-wait-peer-gone"),
	},
	[5] = { /* LAST_ACK */
		[MATRIX_CLOSE] = BY("peer-shutdown-writer-finishes-in-last-ack"),
		[MATRIX_ABORT] = BY("abort-in-each-closing-state"),
		[MATRIX_SHUT_WRITE] = BY("peer-shutdown-writer-finishes-in-last-ack"),
		[MATRIX_SHUT_READ] = BY("peer-shutdown-writer-finishes-in-last-ack"),
		[MATRIX_WRITE] = BY("peer-shutdown-writer-finishes-in-last-ack"),
		[MATRIX_READ_DATA] = BY("peer-shutdown-writer-finishes-in-last-ack"),
		[MATRIX_READ_END] = BY("peer-shutdown-writer-finishes-in-last-ack"),
		[MATRIX_EXIT] = BY("exit-in-each-closing-state"),
		[MATRIX_ACK] = BY("client-close-server-close"),
		[MATRIX_DATA] = BY("strays-in-each-closing-state"),
		[MATRIX_FIN] = NOT(FIN_CAME),
		[MATRIX_OLD_FIN] = BY("strays-in-each-closing-state"),
		[MATRIX_RST] = BY("rst-in-last-ack"),
		[MATRIX_SYN] = BY("strays-in-each-closing-state"),
		[MATRIX_RETRANSMIT] = BY("last-ack-lost"),
		[MATRIX_PROBE] = BY("zero-window-in-each-closing-state"),
		[MATRIX_KEEPALIVE] = NOT(UNACKED),
		[MATRIX_RUNS_OUT] = NOT(NO_TIMER),
		[MATRIX_GIVES_UP] = BY("last-ack-retries-run-out"),
	},
};

const struct matrix_cell *matrix_cell(unsigned state, enum matrix_event event)
{
	return &cells[state][event];
}
