/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "tcp/timeline.h"

/* Writes the packets of `n` runs, one run after the other, to a capture file ("-": standard
 * output): classic pcap, Ethernet, nanosecond stamps. Each packet stands where it was sent, a
 * dropped one too; what the wire made itself (a copy, a packet from nobody) where it was made. A
 * packet that was held stands once, where it was taken. Frames that the record had no room for are
 * missing. Returns 0, with the number of packets, or -errno with text; what was written stays. */
int lab_pcap(const char *path, const struct tl_run *const runs[], size_t n, size_t *packets,
	     struct err *e);
