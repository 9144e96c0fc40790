/* SPDX-License-Identifier: MIT */
/* The way in: the listeners, and what to do when accept() fails. */
#pragma once

#include "daytime/server.h"

/* Accepts what waits at a listener, at most one round's share, and serves it. Returns 1 where more
 * may wait, 0 where none does or the gate is shut for a while, or -errno where no connection will
 * ever come again. */
int gate_accept(struct server *s, unsigned listener, struct err *e);

/* Opens the gate again once its pause is over. */
void gate_resume(struct server *s);

/* Shuts it for good: closes the listeners, so that who comes later is refused at once. */
void gate_shut(struct server *s);

/* Waits for every listener (or, with `events` 0, for none). Returns 0 or -errno. */
int gate_watch(struct server *s, int op, uint32_t events);

#define GATE_TAG (1ULL << 32) /* epoll data of listener i: GATE_TAG + i */
