/* SPDX-License-Identifier: MIT */
/* The lab's network: two hosts, each a network namespace, and the two veth ends in a third one
 * between which the wire carries frames. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "tcp/timeline.h"

#define NET_MTU 1500

struct lab_net {
	bool loopback;  /* no namespaces: both hosts are this one, over 127.0.0.1 and ::1 */
	int host_ns[2]; /* namespaces, by enum tl_side; -1 on loopback */
	int diag[2];    /* sock_diag sockets in them */
	int packet[2];  /* AF_PACKET sockets on the wire's ends that face them; -1 on loopback */
	struct tcp_addr addr[2][2]; /* [side][0]: IPv4, [1]: IPv6 */
	uint8_t mac[2][6];
};

/* Makes the network in the calling process's own user and network namespace, which becomes the
 * wire's. The caller must be single-threaded: it changes namespace meanwhile, and is back at the
 * end. With `ipv6`, waits until IPv6 addresses are in use. Returns 0 or -errno with text; `net`
 * must then still be freed. */
int net_make(struct lab_net *net, bool ipv6, struct err *e);

/* The loopback substitute. Returns 0 or -errno with text. */
int net_make_loopback(struct lab_net *net, struct err *e);

/* Moves the calling process to a host, for good. Returns 0 or -errno. Does nothing on loopback. */
int net_enter(const struct lab_net *net, enum tl_side side);

/* Sets a sysctl under net/ ("ipv4/tcp_fin_timeout") of a host. The calling process changes
 * namespace meanwhile. Returns 0 or -errno with text. */
int net_sysctl(const struct lab_net *net, enum tl_side side, const char *name, const char *value,
	       struct err *e);

/* Closes all descriptors; the namespaces end with their last process. */
void net_free(struct lab_net *net);
