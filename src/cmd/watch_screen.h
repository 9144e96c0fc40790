/* SPDX-License-Identifier: MIT */
/* The full-screen view of the watch: processes by open half-closed connections, then the sockets of
 * one, then one socket with its stacks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "tcp/watch.h"

struct screen;

/* Takes over the terminal. `after_ns`: the threshold. Returns NULL with text where it cannot be. */
struct screen *screen_open(uint64_t after_ns, struct err *e);
/* Gives the terminal back; NULL does nothing. */
void screen_close(struct screen *s);

/* Takes in a line of the watch. */
void screen_line(struct screen *s, const struct tw_line *line);

/* How much was lost so far, which the title says. */
void screen_lost(struct screen *s, uint64_t lost);

/* Draws if anything has changed or a second has passed, and heeds the keys that wait. Returns
 * whether the person wants to leave. */
bool screen_turn(struct screen *s);
