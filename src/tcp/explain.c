/* SPDX-License-Identifier: MIT */
#include "tcp/explain.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

/* Times are Linux's defaults; each names the sysctl or the socket option that changes it. */
static const struct explain states[] = {
	{
		"LISTEN",
		"A socket that waits for connections; it has no peer.",
		"The program that listens.",
		"The close of the listening socket, or the end of its last holder. Connections that "
		"were not accepted by then are reset.",
		"Nobody: this is how a server waits.",
		"3.3.2",
		"both-close",
	},
	{
		"SYN_SENT",
		"This end has asked for a connection and has no answer yet.",
		"The SYN or its answer is under way, or lost, or the peer drops it.",
		"The peer's SYN, a reset, or the last of the retransmissions: about one to two minutes "
		"(tcp_syn_retries).",
		"The peer's host has to answer.",
		"3.5",
		"both-close",
	},
	{
		"SYN_RECV",
		"A SYN came and was answered; the last ACK of the handshake is missing.",
		"That ACK is under way or lost. No program knows of the connection yet.",
		"The ACK, a reset, or the last of the retransmissions: about one minute "
		"(tcp_synack_retries).",
		"The peer's host has to answer.",
		"3.5",
		"both-close",
	},
	{
		"ESTABLISHED",
		"Both ends may send.",
		"Two programs that have not closed. No timer runs by itself: a silent connection lives "
		"as long as they do.",
		"A close or shutdown at either end, a reset, unacknowledged data given up after some 15 "
		"minutes (tcp_retries2, TCP_USER_TIMEOUT), or keepalive where it is on.",
		"Whoever is done first has to close.",
		"3.3.2",
		"both-close",
	},
	{
		"FIN_WAIT_1",
		"This end has closed first and sent its FIN; the FIN is not acknowledged.",
		"The FIN or its ACK is under way or lost, or unsent data and a shut window are before "
		"it.",
		"The ACK, a reset, or the last of the retransmissions: some 100 s where no descriptor "
		"is left (tcp_orphan_retries), some 15 minutes where one is (tcp_retries2).",
		"The peer's host has to acknowledge; its program need not do anything.",
		"3.6",
		"fin-lost",
	},
	{
		"FIN_WAIT_2",
		"This end has closed first, its FIN is acknowledged, and the peer has not closed.",
		"The peer's program, which has not closed. Its end is in CLOSE_WAIT.",
		"The peer's FIN, or a reset. Where no descriptor is left here, the kernel drops it "
		"after 60 s (tcp_fin_timeout, TCP_LINGER2); where one is, no timer runs.",
		"The peer's program has to close.",
		"3.6",
		"server-never-closes",
	},
	{
		"CLOSE_WAIT",
		"The peer has closed: its FIN came and was acknowledged. The program here has not "
		"closed.",
		"The program here, which holds the descriptor. No timer runs: it stays for as long as "
		"the program does.",
		"A close, a shutdown of the sending side, or the end of the last process that holds it; "
		"a reset by the peer; keepalive where it is on.",
		"The program at this end has to close. Nobody else can finish the connection in order.",
		"3.6",
		"server-never-closes",
	},
	{
		"CLOSING",
		"Both ends closed at the same time: this end's FIN is not acknowledged, and the peer's "
		"came meanwhile.",
		"The ACK of this end's FIN is under way or lost.",
		"The ACK, a reset, or the last of the retransmissions, as in FIN_WAIT_1.",
		"The peer's host has to acknowledge.",
		"3.6",
		"both-close-fins-cross",
	},
	{
		"LAST_ACK",
		"This end has closed second; its FIN is not acknowledged.",
		"The FIN or its ACK is under way or lost.",
		"The ACK, after which nothing is left here; a reset; or the last of the "
		"retransmissions, as in FIN_WAIT_1.",
		"The peer's host has to acknowledge.",
		"3.6",
		"last-ack-lost",
	},
	{
		"TIME_WAIT",
		"This end closed first, or both did at once, and all is done. It stays to answer a FIN that comes again, and "
		"to keep old segments out of a new connection between the same ports.",
		"A timer of the kernel alone. No process is involved.",
		"The timer: 60 s, which cannot be changed on Linux.",
		"Nobody: this is how a connection ends well.",
		"3.6",
		"both-close",
	},
	{
		"CLOSED",
		"A socket without a connection: not connected yet, or the connection was reset or given "
		"up.",
		"The program that holds the descriptor. ss does not show such a socket.",
		"The close of the descriptor.",
		"The program that holds it has to close it.",
		"3.3.2",
		"rst-in-close-wait",
	},
	{
		"gone",
		"The kernel knows no such connection: it was never made, or it is finished and "
		"forgotten.",
		"Nothing.",
		"It has ended.",
		"Nobody.",
		"3.3.2",
		"client-never-closes",
	},
};

static const struct explain causes[] = {
	{
		"unread",
		"The peer's FIN waits behind the read position: the program has not read to the end of "
		"the stream, so it cannot know that the peer has closed.",
		"A program that does not read: busy, blocked elsewhere, or done with this connection "
		"without closing it.",
		"Reading to the end and closing; the end of the process.",
		"The program at this end. Look at what it waits for instead of reading.",
		"3.6",
		"server-never-closes",
	},
	{
		"told",
		"A read returned 0, which says that the peer has closed, and the descriptor is still "
		"open.",
		"A program that ignores the end of the stream, or keeps the descriptor in a pool or a "
		"table.",
		"Its close; the end of the process.",
		"The program at this end: close where read returns 0.",
		"3.6",
		"client-waits-before-close",
	},
	{
		"drained",
		"Everything up to the FIN was taken; whether a read returned 0 cannot be seen from "
		"outside.",
		"As for told; or the program took its last data and has not read again.",
		"Its close; the end of the process.",
		"The program at this end. 'unclosed watch' shows whether it was told.",
		"3.6",
		"fin-taken-with-the-last-data",
	},
	{
		"not-accepted",
		"The connection is in the accept queue of a listener: no program has taken it.",
		"A server that does not accept: busy, stuck, or out of descriptors.",
		"The server's accept and close; the close of the listener, which resets it.",
		"The program that listens.",
		NULL,
		"closed-in-accept-queue",
	},
	{
		"shared",
		"More than one process holds the socket: the close of one changes nothing.",
		"A descriptor inherited by fork, by exec without CLOEXEC, or passed on.",
		"The close by the last holder; shutdown by any of them.",
		"Every holder, or the parent that forgot to close its copy.",
		NULL,
		"fork-parent-closes",
	},
	{
		"no-descriptor",
		"No process has a descriptor for the socket, and yet it is no orphan.",
		"A message on a Unix socket that carries it, an io_uring file, or the kernel's own use.",
		"The end of what refers to it.",
		"The program that sent or registered it.",
		NULL,
		"passed-never-taken",
	},
	{
		"replying",
		"The peer has closed its sending side only, and this end still sends: a half-close in "
		"use.",
		"Data on its way.",
		"This end's close once it has sent all.",
		"Nobody: this is what a half-close is for.",
		"3.6.1",
		"client-shutdown-server-writes-on",
	},
	{
		"closing",
		"Normal: this end's FIN is on its way, and nothing was lost so far.",
		"The time that the FIN and its ACK take.",
		"The ACK.",
		"Nobody.",
		"3.6",
		"both-close",
	},
	{
		"peer-gone",
		"This end's FIN is not acknowledged: the peer's host, or the way to it, is gone.",
		"Retransmissions of the FIN.",
		"The last of them: some 100 s for an orphan (tcp_orphan_retries), some 15 minutes "
		"otherwise (tcp_retries2, TCP_USER_TIMEOUT).",
		"The network, or the peer's host.",
		"3.8.1",
		"orphan-retries-run-out",
	},
	{
		"send-blocked",
		"This end has closed, but its FIN is behind data that the peer does not take.",
		"The peer's window is shut: its program does not read.",
		"The peer's reading, or a reset; an orphan is given up after tcp_orphan_retries probes.",
		"The peer's program has to read.",
		"3.8.6.1",
		"close-behind-zero-window",
	},
	{
		"half-closed-here",
		"FIN_WAIT_2 with a descriptor: the program here shut down its sending side and still "
		"holds the socket.",
		"The peer's program, which has not closed; and this one, which waits for it without a "
		"limit. tcp_fin_timeout does not apply.",
		"The peer's FIN; a close here, after which the kernel drops it in 60 s.",
		"The peer's program; or the one here, with a limit of its own.",
		"3.6.1",
		"fin-wait-2-with-descriptor-stays",
	},
	{
		"orphan",
		"FIN_WAIT_2 without a descriptor: the program here is done, the kernel finishes alone.",
		"The peer's program, which has not closed.",
		"The peer's FIN, or 60 s (tcp_fin_timeout). A late segment then meets a reset.",
		"Nobody here; the peer's program has to close.",
		"3.6",
		"fin-wait-2-orphan-runs-out",
	},
	{
		"dead",
		"The connection is gone, reset, timed out or ended by `unclosed release`, and the "
		"descriptor was never closed. ss does not show it.",
		"The program that holds the descriptor.",
		"Its close; the end of the process.",
		"The program at this end: close on every error.",
		"3.5.3",
		"rst-in-close-wait",
	},
	{
		"time-wait",
		"Normal: the end that closed first waits 60 s. It occupies one port of the range per "
		"destination meanwhile.",
		"A timer of the kernel alone.",
		"The timer.",
		"Nobody, unless connect fails with EADDRNOTAVAIL: then let the other side close first, "
		"or keep connections.",
		"3.6",
		"both-close",
	},
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

const struct explain *explain_states(size_t i)
{
	return i < COUNT(states) ? &states[i] : NULL;
}

const struct explain *explain_causes(size_t i)
{
	return i < COUNT(causes) ? &causes[i] : NULL;
}

static bool same_cause(const char *typed, const char *name)
{
	for (; *typed && *name; typed++, name++) {
		char c = *typed == '_' ? '-' : *typed;

		if (tolower((unsigned char)c) != *name)
			return false;
	}
	return *typed == *name;
}

const struct explain *explain_cause(const char *name)
{
	for (size_t i = 0; i < COUNT(causes); i++)
		if (same_cause(name, causes[i].name))
			return &causes[i];
	return NULL;
}

const struct explain *explain_find(const char *name)
{
	int state = tcp_state_parse(name);

	for (size_t i = 0; state >= 0 && i < COUNT(states); i++)
		if (!strcmp(states[i].name, tcp_state_name((unsigned)state)))
			return &states[i];
	return explain_cause(name);
}

static const char *nearest_of(const char *typed, const struct explain *of, size_t count)
{
	const char *names[COUNT(states) + COUNT(causes)];

	for (size_t i = 0; i < count; i++)
		names[i] = of[i].name;
	return text_nearest(typed, names, count);
}

const char *explain_nearest(const char *typed, unsigned kinds)
{
	const char *one = NULL, *other = NULL;
	char state[32], cause[32];
	size_t n = 0;

	for (; typed[n] && n + 1 < sizeof(state); n++) {
		state[n] = (char)(typed[n] == '-' ? '_' : toupper((unsigned char)typed[n]));
		cause[n] = (char)(typed[n] == '_' ? '-' : tolower((unsigned char)typed[n]));
	}
	state[n] = cause[n] = '\0';
	if (kinds & EXPLAIN_STATES)
		one = nearest_of(state, states, COUNT(states));
	if (kinds & EXPLAIN_CAUSES)
		other = nearest_of(cause, causes, COUNT(causes));
	if (!one || !other)
		return one ? one : other;
	return text_distance(state, one) <= text_distance(cause, other) ? one : other;
}

char *explain_rfc_text(const char *section, bool utf8, char buf[EXPLAIN_RFC_TEXT])
{
	snprintf(buf, EXPLAIN_RFC_TEXT, "RFC 9293%s%s", utf8 ? " \u00a7" : ", ", section);
	return buf;
}
