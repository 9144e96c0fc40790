/* SPDX-License-Identifier: MIT */
#include "tcp/state.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

static const char *const names[TCPS_COUNT] = {
	[TCPS_GONE] = "gone",
	[TCPS_ESTABLISHED] = "ESTABLISHED",
	[TCPS_SYN_SENT] = "SYN_SENT",
	[TCPS_SYN_RECV] = "SYN_RECV",
	[TCPS_FIN_WAIT1] = "FIN_WAIT_1",
	[TCPS_FIN_WAIT2] = "FIN_WAIT_2",
	[TCPS_TIME_WAIT] = "TIME_WAIT",
	[TCPS_CLOSE] = "CLOSED",
	[TCPS_CLOSE_WAIT] = "CLOSE_WAIT",
	[TCPS_LAST_ACK] = "LAST_ACK",
	[TCPS_LISTEN] = "LISTEN",
	[TCPS_CLOSING] = "CLOSING",
	[TCPS_NEW_SYN_RECV] = "SYN_RECV",
};

static const struct {
	const char *name;
	int state;
} aliases[] = {
	{ "ESTAB", TCPS_ESTABLISHED },   { "SYN_RECEIVED", TCPS_SYN_RECV },
	{ "FIN_WAIT1", TCPS_FIN_WAIT1 }, { "FIN_WAIT2", TCPS_FIN_WAIT2 },
	{ "CLOSE", TCPS_CLOSE },
};

const char *tcp_state_name(unsigned state)
{
	return state < TCPS_COUNT ? names[state] : "?";
}

static bool same_name(const char *typed, const char *name)
{
	for (; *typed && *name; typed++, name++) {
		char c = *typed == '-' ? '_' : *typed;

		if (toupper((unsigned char)c) != toupper((unsigned char)*name))
			return false;
	}
	return *typed == *name;
}

int tcp_state_parse(const char *name)
{
	for (unsigned i = 0; i < TCPS_NEW_SYN_RECV; i++)
		if (same_name(name, names[i]))
			return (int)i;
	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++)
		if (same_name(name, aliases[i].name))
			return aliases[i].state;
	return -1;
}

/* Each set holds what may follow. Gone and CLOSED may follow everything (RST, abort: §3.10.7). */
static const uint16_t followers[TCPS_COUNT] = {
	[TCPS_GONE] = TCP_BIT(TCPS_LISTEN) | TCP_BIT(TCPS_SYN_SENT) | TCP_BIT(TCPS_SYN_RECV),
	[TCPS_CLOSE] = TCP_BIT(TCPS_LISTEN) | TCP_BIT(TCPS_SYN_SENT),
	[TCPS_LISTEN] = TCP_BIT(TCPS_SYN_RECV) | TCP_BIT(TCPS_SYN_SENT),
	[TCPS_SYN_SENT] = TCP_BIT(TCPS_ESTABLISHED) | TCP_BIT(TCPS_SYN_RECV),
	/* §3.10.7.4: data and FIN may ride on the ACK that ends the handshake. */
	[TCPS_SYN_RECV] = TCP_BIT(TCPS_ESTABLISHED) | TCP_BIT(TCPS_FIN_WAIT1) |
			  TCP_BIT(TCPS_CLOSE_WAIT) | TCP_BIT(TCPS_LISTEN),
	[TCPS_ESTABLISHED] = TCP_BIT(TCPS_FIN_WAIT1) | TCP_BIT(TCPS_CLOSE_WAIT),
	[TCPS_FIN_WAIT1] = TCP_BIT(TCPS_FIN_WAIT2) | TCP_BIT(TCPS_CLOSING) |
			   TCP_BIT(TCPS_TIME_WAIT),
	[TCPS_FIN_WAIT2] = TCP_BIT(TCPS_TIME_WAIT),
	[TCPS_CLOSE_WAIT] = TCP_BIT(TCPS_LAST_ACK),
	[TCPS_CLOSING] = TCP_BIT(TCPS_TIME_WAIT),
	[TCPS_LAST_ACK] = 0,
	/* RFC 6191, RFC 1122 §4.2.2.13: a new SYN may reuse the pair. */
	[TCPS_TIME_WAIT] = TCP_BIT(TCPS_SYN_RECV) | TCP_BIT(TCPS_SYN_SENT) | TCP_BIT(TCPS_LISTEN),
};

bool tcp_transition_is_legal(unsigned from, unsigned to)
{
	if (from == TCPS_NEW_SYN_RECV)
		from = TCPS_SYN_RECV;
	if (to == TCPS_NEW_SYN_RECV)
		to = TCPS_SYN_RECV;
	if (from >= TCPS_COUNT || to >= TCPS_COUNT)
		return false;
	if (from == to || to == TCPS_GONE || to == TCPS_CLOSE)
		return true;
	return followers[from] & TCP_BIT(to);
}
