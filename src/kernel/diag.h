/* SPDX-License-Identifier: MIT */
/* sock_diag(7): what the kernel of one network namespace knows of its TCP sockets. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "tcp/sample.h"

/* Opens a NETLINK_SOCK_DIAG socket in the calling thread's network namespace; it keeps answering
 * for that namespace wherever the caller goes. Returns an owned CLOEXEC descriptor or -errno. */
int diag_open(struct err *e);

/* Asks for one connection by its addresses as seen from the end that is asked for (`local`,
 * `peer`). Returns 0 with `out` filled; a connection that no longer exists gives state TCPS_GONE
 * (also where the kernel answered with the listener instead: it does, see docs/KERNEL.md). Returns
 * -errno, with text, for anything else; `out` is then untouched. Blocks for the kernel's answer
 * only. */
int diag_lookup(int fd, const struct tcp_addr *local, const struct tcp_addr *peer,
		struct tcp_sample *out, struct err *e);

/* As diag_lookup(), for a socket bound to the interface `ifindex` (SO_BINDTODEVICE, or a link-local
 * IPv6 address): the kernel does not find it otherwise. 0: not bound. */
int diag_lookup_bound(int fd, uint32_t ifindex, const struct tcp_addr *local,
		      const struct tcp_addr *peer, struct tcp_sample *out, struct err *e);

/* Asks for a socket that was seen before as `then`, with its cookie: by its addresses and
 * interface, and where only TCP_BOUND_SOMEWHERE is known of that, among all sockets of its state.
 * Returns as diag_lookup(); TCPS_GONE also where it is in another state now. */
int diag_find(int fd, const struct tcp_sample *then, struct tcp_sample *out, struct err *e);

/* Called for each socket of a dump; the sample is valid during the call. Return non-zero to stop.
 */
typedef int diag_each_fn(const struct tcp_sample *s, void *arg);

/* Dumps the sockets of `family` (AF_INET, AF_INET6) that are in one of `states` (TCP_BIT set).
 * Returns 0; the callback's non-zero; -EINTR where the kernel says that the table changed under the
 * dump, so that something may be missing or doubled; another -errno with text. */
int diag_dump(int fd, int family, unsigned states, diag_each_fn *each, void *arg, struct err *e);

/* As diag_dump(); without TCP_INFO where `info` is false, which takes a third of the time.
 * AF_UNSPEC asks for both families in one walk through the kernel's table (the older
 * TCPDIAG_GETSOCK, which every kernel still answers): walking it takes milliseconds even where it
 * is empty. */
int diag_dump_as(int fd, int family, unsigned states, bool info, diag_each_fn *each, void *arg,
		 struct err *e);

/* As diag_dump_as(), of the Multipath TCP connections of both families (TCP_MPTCP_CONNECTION),
 * whose state changes with DATA_FIN. Their numbers come from Linux 6.10 on. None, where the kernel
 * has no MPTCP. */
int diag_dump_mptcp(int fd, unsigned states, diag_each_fn *each, void *arg, struct err *e);

/* Whether the message of which `len` bytes were received is all there. As mnl_nlmsg_ok(), which
 * takes a length of 2 GiB and more for a negative one and lets it pass. */
struct nlmsghdr;
bool diag_is_whole(const struct nlmsghdr *nlh, size_t len);

/* Receives one block that the kernel sent on a netlink socket; what other processes send is
 * passed over. Returns its length; -EMSGSIZE where it does not fit; -errno. Blocks, on a socket of
 * diag_open() or link_open() at most 5 s. */
ssize_t diag_receive(int fd, void *space, size_t cap);

/* The pure decoders, of TCP and of MPTCP, of one netlink message (header included) of a sock_diag
 * answer. Returns 1 with `out` filled; 0 at the end of a dump; the kernel's own -errno from an
 * error message; -EBADMSG for bytes that are no such message. Never reads past `len`. */
int diag_decode(const void *msg, size_t len, struct tcp_sample *out);
int diag_decode_mptcp(const void *msg, size_t len, struct tcp_sample *out);
