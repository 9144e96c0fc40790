/* SPDX-License-Identifier: MIT */
/* A sample: one end of a connection at one moment, as the kernel described it. Pure data, no
 * pointers, so that it may lie in shared memory and be copied freely. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tcp/addr.h"
#include "tcp/state.h"

/* Which timer runs on a socket: idiag_timer of struct inet_diag_msg. */
enum tcp_timer {
	TCP_TIMER_NONE = 0,
	TCP_TIMER_RETRANSMIT = 1,
	TCP_TIMER_KEEPALIVE = 2, /* also the FIN_WAIT_2 timer of an orphan */
	TCP_TIMER_TIME_WAIT = 3, /* TIME_WAIT, or FIN_WAIT_2 as a time-wait entry */
	TCP_TIMER_PROBE = 4,     /* zero-window probe */
};

/* shutdown(2) seen from the socket (sk_shutdown): INET_DIAG_SHUTDOWN. */
#define TCP_SHUT_RCV  1
#define TCP_SHUT_SEND 2

/* An interface's index, of a socket that is bound to one that is not known. */
#define TCP_BOUND_SOMEWHERE UINT32_MAX

/* What came after the FIN, which only BPF can see (tcp_sock.snd_wl1). A snapshot needs it to tell
 * how old CLOSE_WAIT is, and whether a half-close is in use. In CLOSE_WAIT: segments after the
 * peer's FIN. In FIN_WAIT_2: data of the peer with or after its ACK of our FIN. */
enum tcp_after_fin {
	TCP_AFTER_FIN_UNKNOWN = 0,
	TCP_AFTER_FIN_NOTHING,
	TCP_AFTER_FIN_SEGMENTS,
};

/* Multipath TCP (RFC 8684). A connection half-closes by DATA_FIN, while its subflows, each a TCP
 * connection of its own, stay ESTABLISHED. */
enum tcp_mptcp {
	TCP_MPTCP_NOT = 0,
	TCP_MPTCP_SUBFLOW,
	TCP_MPTCP_CONNECTION, /* the whole: recv_q and send_q count memory, not bytes */
};

struct tcp_sample {
	struct tcp_addr local, peer;
	uint8_t state;       /* TCP_*; TCPS_GONE where the kernel knows no such connection */
	uint8_t timer;       /* enum tcp_timer */
	uint8_t retransmits; /* retransmissions or probes unanswered so far */
	uint8_t shutdown;    /* TCP_SHUT_*; 0 where has_shutdown is false */
	bool has_shutdown;
	bool has_info;     /* the TCP_INFO fields below were given */
	uint8_t mptcp;     /* enum tcp_mptcp */
	uint8_t after_fin; /* enum tcp_after_fin */
	bool error_waits;  /* an error waits on the socket, whose number may be unknown */
	uint16_t error;    /* errno that waits on the socket (sk_err); 0: none, taken, or unknown */
	uint32_t timer_ms; /* until the timer fires; 0 where none runs */
	uint32_t
		recv_q; /* bytes not read, an unread FIN counted as 1; LISTEN: queued connections */
	uint32_t send_q; /* bytes not acknowledged; LISTEN: the backlog */
	uint32_t uid;
	uint32_t ifindex; /* of the interface that the socket is bound to, or TCP_BOUND_SOMEWHERE;
			     0: none */
	uint32_t inode;   /* of the socket's descriptor; 0: none was given (an orphan, or not
			     accepted) */
	uint64_t cookie;  /* the kernel's own number of the socket; 0: unknown */
	uint64_t netns;   /* inode of the network namespace; 0: unknown */

	/* From TCP_INFO, milliseconds before the sample. */
	uint32_t last_data_sent_ms, last_data_recv_ms, last_ack_recv_ms;
	uint64_t bytes_acked, bytes_received; /* bytes_received counts the peer's FIN as one */
	uint64_t bytes_sent;                  /* payload only, what was sent again included */
	uint64_t segs_out, segs_in;
	uint32_t unacked; /* segments sent, not acknowledged */
	uint32_t notsent_bytes;
	uint32_t snd_wnd; /* bytes the peer is ready to take */
	uint32_t rto_ms;
	uint32_t rtt_ms;  /* smoothed; 0: less than 1 ms, or unknown */
	uint32_t dead_ms; /* without a connection for so long at least (begun milliseconds count),
			     if it had one; 0: unknown */
};
