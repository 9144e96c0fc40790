/* SPDX-License-Identifier: MIT */
/* Strict reading of numbers that people type. Nothing is guessed and nothing left over. */
#pragma once

#include <stdint.h>

/* Reads an unsigned decimal number: digits only, no sign, no space. Returns 0; -EINVAL where the
 * text is not a number; -ERANGE where it lies outside [min, max]. `out` is untouched on failure. */
int num_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out);

/* Reads a TCP or UDP port, 0 to 65535. Errors as num_u64(). */
int num_port(const char *text, uint16_t *out);

/* Reads a duration, a decimal number (a fraction is allowed) and its unit: ns, us, ms, s, m, h, d.
 * The unit is required, except for 0. Result in nanoseconds. Returns 0; -EINVAL where it is not a
 * duration; -ERANGE where it is longer than 292 years. `out` is untouched on failure. */
int num_duration(const char *text, int64_t *ns);

/* Writes a duration as a person says it, at most two units: "250 ms", "1.5 s", "2 m 5 s", "3 h".
 * Returns buf. */
char *num_duration_text(int64_t ns, char *buf, unsigned cap);
