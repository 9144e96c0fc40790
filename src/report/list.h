/* SPDX-License-Identifier: MIT */
/* `unclosed list` on paper: the summary, the sockets, JSON. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "tcp/census.h"

#define LIST_SCHEMA 1

/* Adds one socket as one line of JSON: schema, state, cause, local, peer, age_ms, age_is, recv_q,
 * send_q, cookie, inode, netns, holders [pid, comm, fd], evidence. `age_ms` is null where unknown,
 * addresses where the kernel no longer tells them. */
void list_json_socket(struct buf *out, const struct census *c, const struct census_socket *s);
