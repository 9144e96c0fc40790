/* SPDX-License-Identifier: MIT */
/* One sock_diag socket per network namespace of a census, opened when first needed. */
#pragma once

#include "base/err.h"
#include "tcp/census.h"

#define NSDIAG_NOT_OPENED (-1)

/* The socket that asks in namespace `netns` (an index of the census), from `fds`, an array of
 * netns_n that begins as NSDIAG_NOT_OPENED; the caller closes those that are not negative. Returns
 * it, or -errno with text where the namespace cannot be entered (any more). */
int nsdiag(const struct census *c, int *fds, uint32_t netns, struct err *e);
