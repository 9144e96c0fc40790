/* SPDX-License-Identifier: MIT */
/* The sections of RFC 9293, which a scenario may name. */
#pragma once

#include <stdbool.h>

/* Whether RFC 9293 has the section, such as "3.6" or "3.10.7.4". Pure. */
bool rfc9293_has(const char *section);
