/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

#include "base/err.h"

#define DAYTIME_PORT 13 /* RFC 867 */

/* Opens a non-blocking TCP listener on all addresses: one dual-stack socket, or IPv4 alone where
 * the host has no IPv6. Port 0 lets the kernel choose; `port` then tells which. Returns the
 * descriptor or -errno. Does not block. */
int listen_tcp(uint16_t *port, struct err *e);
