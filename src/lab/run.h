/* SPDX-License-Identifier: MIT */
/* Runs one scenario: namespaces, wire, actors, script. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "tcp/timeline.h"

/* A scenario's text, in memory. */
struct lab_script {
	const char *name; /* "server-never-closes": what reports call it */
	const char
		*file; /* "scenarios/experiments/server-never-closes.lua": what messages call it */
	const char *text;
	size_t len;
};

struct lab_options {
	bool ipv6;
	bool loopback;            /* no namespaces: states without packets */
	bool describe;            /* end the script once it has said what it is: for listings */
	int64_t timeout_ns;       /* for the whole script */
	uint64_t seed;            /* of the wire's chances */
	uint32_t loss;            /* percent of all packets that are lost by chance; 0 to 99 */
	const char *bindir;       /* where unclosed is, and daytime and daytimed, or in ../sbin */
	const char *const *allow; /* names of further programs that scripts may run, or "*" */
	size_t nallow;
};

/* Memory for a run's record, shared with the process that makes it; NULL without memory. */
struct tl_run *lab_run_new(void);
void lab_run_free(struct tl_run *run);

/* Starts a scenario in a process of its own, which ends with its maker. Returns the pid, to be
 * waited for, or -errno with text where not even that could be started (run->status is then
 * TL_CANNOT where this host does not allow namespaces). The record is complete when the process has
 * ended. */
pid_t lab_start(const struct lab_script *script, const struct lab_options *options,
		struct tl_run *run, struct err *e);

/* After the process has ended with `status` (of waitpid(2)): sees to it that the record says how.
 */
void lab_ended(struct tl_run *run, int status);
