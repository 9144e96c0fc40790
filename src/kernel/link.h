/* SPDX-License-Identifier: MIT */
/* Network interfaces of the lab: rtnetlink(7) and the ethtool ioctl. Nothing here is for a host's
 * own interfaces: every call acts in the namespace in which its descriptor was opened. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "tcp/addr.h"

#define LINK_MAC_BYTES 6

/* Opens a NETLINK_ROUTE socket in the calling thread's network namespace; it keeps acting there.
 * Returns an owned CLOEXEC descriptor or -errno. */
int link_open(struct err *e);

/* One end of a veth pair. */
struct link_end {
	const char *name;
	int netns; /* descriptor of the namespace to make it in; -1: that of the rtnetlink socket */
	uint8_t mac[LINK_MAC_BYTES];
};

/* Makes a veth pair. Returns 0 or -errno with text. */
int link_make_veth(int rtnl, const struct link_end *a, const struct link_end *b, struct err *e);

/* Sets an interface up or down. Returns 0 or -errno with text. */
int link_set_up(int rtnl, const char *name, bool up, struct err *e);

/* Gives an interface an address; IPv6 without duplicate address detection, but see
 * link_await_local(). Returns 0 or -errno with text. */
int link_add_addr(int rtnl, const char *name, const struct tcp_addr *addr, uint8_t prefix_len,
		  struct err *e);

/* Opens an rtnetlink socket that is told of new IPv6 routes in the calling thread's namespace, for
 * link_await_local(). Returns an owned CLOEXEC descriptor or -errno with text. */
int link_watch_routes(struct err *e);

/* Waits until the kernel takes packets for an IPv6 address that was added since `routes` was
 * opened: link_add_addr() returns earlier, a work queue makes the local route
 * (addrconf_dad_completed()), and packets that come before are dropped. Returns 0 or -errno with
 * text; blocks for at most 5 s. */
int link_await_local(int routes, const struct tcp_addr *addr, struct err *e);

/* Adds a permanent neighbour, so that nobody need ask for it. Returns 0 or -errno with text. */
int link_add_neighbour(int rtnl, const char *name, const struct tcp_addr *addr,
		       const uint8_t mac[LINK_MAC_BYTES], struct err *e);

/* Adds a route to one host, over which every segment is acknowledged at once: delayed ACKs
 * (tcp_delack_timer()) come when the machine has time. Returns 0 or -errno with text. */
int link_add_quick_route(int rtnl, const char *name, const struct tcp_addr *addr, struct err *e);

/* Turns transmit checksum offload, TSO, GSO and GRO off, so that every frame on the interface is
 * one segment with its checksum in place. `inet` is any AF_INET socket opened in the namespace. */
int link_plain_frames(int inet, const char *name, struct err *e);

/* The interface's index in the socket's namespace, or -errno with text. */
int link_index(int inet, const char *name, struct err *e);
