/* SPDX-License-Identifier: MIT */
/* The script's requests: decoded, begun, waited for, answered. */
#pragma once

#include "lab/lab.h"

/* Takes one message from the room where one waits and none is pending. Never blocks. */
void ops_receive(struct lab *lab);

/* Looks at the pending request, and answers it where it is settled or late. */
void ops_poll(struct lab *lab);

/* Nanoseconds until the pending request must be looked at again; -1: nothing to wait for. */
int64_t ops_next_ns(const struct lab *lab);
