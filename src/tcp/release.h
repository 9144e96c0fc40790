/* SPDX-License-Identifier: MIT */
/* A release: which sockets of a census are to be freed, which must not be, and what became of them.
 * Pure data and the rules of what may be released. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tcp/census.h"

/* Never one instead of the other: the peer of the first gets a FIN and may finish in peace, that of
 * the second a RST. */
enum release_method {
	RELEASE_SHUTDOWN = 0, /* shutdown(SHUT_RDWR) on a copy of a holder's descriptor */
	RELEASE_RESET,        /* SOCK_DESTROY by cookie */
};

/* Why a socket that was meant is not released; ordered, the gravest first. */
enum release_refusal {
	RELEASE_QUALIFIES = 0,
	RELEASE_LISTENER,      /* it is one: nothing is unfinished about it */
	RELEASE_INIT,          /* pid 1 holds it */
	RELEASE_SELF,          /* this very process */
	RELEASE_ANCESTOR,      /* one of its ancestors */
	RELEASE_SESSION,       /* a process of the session that the command was typed in */
	RELEASE_SSH,           /* the session came over this connection */
	RELEASE_KIN_UNKNOWN,   /* what its holder is to the caller cannot be told */
	RELEASE_ESTABLISHED,   /* and not asked for by that name */
	RELEASE_TIME_WAIT,     /* likewise */
	RELEASE_REPLYING,      /* likewise */
	RELEASE_CLOSING,       /* likewise */
	RELEASE_NOT_BEGUN,     /* SYN_SENT, SYN_RECV, a socket never connected */
	RELEASE_DEAD,          /* no connection is left to release: only its process can close it */
	RELEASE_NO_COOKIE,     /* nothing to prove its identity with */
	RELEASE_MPTCP_WHOLE,   /* only its program can end it */
	RELEASE_MPTCP,         /* shutdown: a subflow has no descriptor of its own */
	RELEASE_NO_DESCRIPTOR, /* shutdown: nobody holds one */
	RELEASE_HOLDER_UNSEEN, /* shutdown: nobody is seen to hold one, and not everybody was */
	RELEASE_FIN_SENT,      /* shutdown: this end's FIN is sent already */
	RELEASE_REFUSALS
};

enum release_result {
	RELEASE_NOT_TRIED = 0,
	RELEASE_DONE,
	RELEASE_GONE,      /* the connection had ended by itself */
	RELEASE_CHANGED,   /* not the socket any more that was meant: left alone */
	RELEASE_FAILED,    /* the kernel refused */
	RELEASE_HIT_OTHER, /* its holder reconnected it in the same moment: see holdcopy.h */
};

/* What its holders are to the caller. */
enum release_kin {
	RELEASE_KIN_NONE = 0,
	RELEASE_KIN_INIT,
	RELEASE_KIN_SELF,
	RELEASE_KIN_ANCESTOR,
	RELEASE_KIN_SESSION,
	RELEASE_KIN_SSH,
	RELEASE_KIN_UNTOLD,
};

/* One end at two moments. */
struct release_end {
	bool known;            /* it was looked for, and found at least at first */
	uint8_t before, after; /* TCPS_*; `after` TCPS_GONE where it is no more */
};

struct release_item {
	uint32_t socket; /* index into the census */
	uint8_t refusal; /* enum release_refusal */
	uint8_t result;  /* enum release_result */
	uint32_t pid;    /* RELEASE_KIN_*: who; after a shutdown: whose descriptor was copied */
	int32_t fd;
	uint32_t ifindex; /* of the interface that the socket released is bound to; 0: none */
	bool looked;      /* `own`, and `peer` where that is known, were looked at again */
	struct release_end own, peer;
	uint32_t peer_netns; /* index into the census */
	char error[256];     /* of RELEASE_CHANGED, FAILED, HIT_OTHER */
};

/* What the caller asked for by name. */
struct release_named {
	unsigned states; /* TCP_BIT set */
	unsigned causes; /* TCP_CAUSE_BIT set */
};

/* Whether the socket may be released in this way. `kin` is the gravest of its holders'. Pure. */
enum release_refusal release_judge(const struct census_socket *s, enum release_method method,
				   const struct release_named *named, enum release_kin kin);

/* Whether a socket found again as `now` is still what was meant: it is still as old as `older_ms`
 * (0: whatever its age). `then` is the socket as listed. Pure. */
bool release_still_old(const struct census *c, const struct census_socket *then,
		       const struct tcp_sample *now, uint64_t older_ms);

/* "shutdown", "reset"; "qualifies", "listener", ...; "done", "changed", ... Never NULL; static. */
const char *release_method_name(unsigned method);
const char *release_refusal_name(unsigned refusal);
const char *release_result_name(unsigned result);

/* Why it is refused and what would do instead: one line without a full stop. Static. */
const char *release_refusal_text(unsigned refusal);
