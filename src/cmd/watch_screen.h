/* SPDX-License-Identifier: MIT */
/* The full-screen view of the watch: processes by open half-closed connections, then the sockets of
 * one, then one socket with its stacks; and from each of them the close lags and the keys. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "report/watch.h"

struct screen;

/* Takes over the terminal. `after_ns`: the threshold. Returns NULL with text where it cannot be. */
struct screen *screen_open(uint64_t after_ns, const struct watch_taking *taking, struct err *e);
/* Gives the terminal back; NULL does nothing. */
void screen_close(struct screen *s);

/* Takes in a line of the watch. */
void screen_line(struct screen *s, const struct tw_line *line);

/* How much was lost so far, which the title says. */
void screen_lost(struct screen *s, uint64_t lost);

/* Whether the close lags are looked at, and so want to be up to date. */
bool screen_shows_lags(const struct screen *s);
/* Takes over the close lags as text, from malloc(); an empty text: there are none. */
void screen_lags(struct screen *s, char *text);
/* How text for it looks. */
const struct report_style *screen_style(const struct screen *s);

/* Draws if anything has changed or a second has passed, and heeds the keys that wait. Returns
 * whether the person wants to leave. */
bool screen_turn(struct screen *s);
