/* SPDX-License-Identifier: MIT */
/* What each state and each cause means, in words. The terminal, the diagram, the page and the
 * manual take their texts from here and nowhere else. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "tcp/timeline.h"

/* One word explained. Static text: plain sentences in ASCII, each ending in a full stop. */
struct explain {
	const char *name;     /* "CLOSE_WAIT", "unread" */
	const char *what;     /* what it is */
	const char *keeps;    /* what keeps an end there */
	const char *ends;     /* what ends it, and when */
	const char *act;      /* who has to act */
	const char *rfc;      /* section of RFC 9293: "3.6"; NULL where it says nothing of it */
	const char *scenario; /* a scenario of the catalogue that shows it; NULL where none does */
};

/* All states in the order of a connection's life, then all causes in the order of the manual.
 * `i` counts from 0; NULL past the last. */
const struct explain *explain_states(size_t i);
const struct explain *explain_causes(size_t i);

/* Finds a cause, in any case, with '-' or '_'. NULL where there is none. */
const struct explain *explain_cause(const char *name);

/* Finds a state as tcp_state_parse() reads it, else a cause. NULL where there is neither. */
const struct explain *explain_find(const char *name);

/* The name nearest to what was typed, whatever the case and the dashes, for "did you mean"; of
 * states, causes or both. NULL where none is near enough. Static. */
#define EXPLAIN_STATES 1u
#define EXPLAIN_CAUSES 2u
const char *explain_nearest(const char *typed, unsigned kinds);

/* Adds one or two sentences on an end that was looked at: who holds it, what ends it and when, who
 * has to act. Names of programs are escaped; letters outside ASCII stay only where `utf8` is true.
 */
void explain_end(struct buf *out, const struct tl_end *end, enum tl_side side, bool utf8);

/* As explain_end() for one side of an observation: it knows the other end, too. */
void explain_observed(struct buf *out, const struct tl_observation *seen, enum tl_side side,
		      bool utf8);

/* "RFC 9293 §3.6", "RFC 9293, 3.6" where `utf8` is false; returns buf. */
#define EXPLAIN_RFC_TEXT 48
char *explain_rfc_text(const char *section, bool utf8, char buf[EXPLAIN_RFC_TEXT]);
