/* SPDX-License-Identifier: MIT */
/* A pattern of the shell for names of 15 bytes, as a machine that runs without loops in loops: each
 * element of the pattern but `*` is a bit. State i means that i elements have been matched. */
#pragma once

#ifndef __bpf__
#include <linux/types.h>
#endif

#define GLOB_ELEMENTS 31

struct glob {
	__u32 accepts[256]; /* by byte: the elements that accept it */
	__u32 stays;        /* states in front of a `*` */
	__u32 end;          /* the state in which all is matched, as a bit */
};

#define GLOB_START 1u
/* The states after one more byte. */
#define GLOB_STEP(g, states, byte) \
	((((states) & (g)->accepts[(unsigned char)(byte)]) << 1) | ((states) & (g)->stays))
