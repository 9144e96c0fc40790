/* SPDX-License-Identifier: MIT */
/* SOCK_DESTROY: ends a connection at once, as if a reset had come. */
#pragma once

#include "base/err.h"
#include "tcp/sample.h"

/* Destroys the one socket that has this cookie and these addresses, in the namespace in which
 * `diag_fd` was opened (diag_open()). The kernel compares the cookie itself: a socket that has
 * taken the addresses since, or the listener behind them, is left alone. The peer gets a RST, the
 * holder's next call ECONNABORTED (tcp_abort() of net/ipv4/tcp.c).
 *
 * Returns 0; -EINVAL for a sample without a cookie, of a listener, or without a peer, before the
 * kernel is asked; -ENOENT where no such socket exists any more; -EPERM without CAP_NET_ADMIN over
 * the namespace; -EOPNOTSUPP where the kernel lacks CONFIG_INET_DIAG_DESTROY; another -errno. Sets
 * text on failure. Blocks for the kernel's answer only. */
int destroy_socket(int diag_fd, const struct tcp_sample *s, struct err *e);

/* The pure decoder of the answer (`msg` of `len` bytes, header included) to the request numbered
 * `seq`. Returns 1 and the kernel's 0 or -errno in `result`; 0 for an answer to another request;
 * -EBADMSG for bytes that are no answer. */
int destroy_decode(const void *msg, size_t len, uint32_t seq, int *result);
