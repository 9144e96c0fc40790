/* SPDX-License-Identifier: MIT */
/* Runs that no lab has run, for tests of what is made from them: fixed times, addresses and
 * numbers, and frames with right checksums. */
#pragma once

#include <stddef.h>

#include "tcp/timeline.h"

/* Makes the run with that name; NULL where there is none. Freed with free(). */
struct tl_run *fake_run(const char *name);

/* Their names, NULL past the last. */
const char *fake_run_name(size_t i);
