/* SPDX-License-Identifier: MIT */
/* TCP_INFO: what the kernel tells of a connection, by sock_diag or by getsockopt(2). */
#pragma once

#include <stddef.h>

#include "tcp/sample.h"

/* Takes a struct tcp_info of `len` bytes into the sample; not its state. It grew over the years:
 * whatever lies past the end of this kernel's is left at zero. Pure; any length will do. */
void tcpinfo_decode(const void *data, size_t len, struct tcp_sample *s);

/* Asks a socket of this process, and takes its state, too. Returns 0 or -errno. */
int tcpinfo_ask(int fd, struct tcp_sample *s);
