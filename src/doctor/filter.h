/* SPDX-License-Identifier: MIT */
/* Which sockets are meant: the filters that list and release share. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "tcp/census.h"

enum filter_key {
	FILTER_STATE,
	FILTER_CAUSE,
	FILTER_PID,
	FILTER_COMM,
	FILTER_PORT,
	FILTER_PEER,
	FILTER_OLDER,
	FILTER_NETNS,
	FILTER_CGROUP,
};

/* Zero-initialised: everything is meant. Each key narrows; values of a list widen. The strings are
 * the caller's and must outlive it. */
struct filter {
	unsigned states; /* TCP_BIT set; 0: any */
	unsigned causes; /* TCP_CAUSE_BIT set; 0: any */
	uint32_t pid;    /* that holds it, or owns the listener; 0: any */
	uint16_t port;   /* local or remote; 0: any */
	bool has_peer, has_older;
	struct tcp_addr peer; /* port 0: any */
	uint8_t peer_bits;    /* leading bits of the address that count */
	uint64_t older_ms;
	const char *comm;   /* shell pattern, fnmatch(3) */
	const char *netns;  /* inode or name */
	const char *cgroup; /* part of the cgroup path or of the container id */
};

/* Narrows by what a person typed: states and causes as lists with commas, --peer as
 * ADDRESS[/BITS], ADDRESS:PORT or [ADDRESS]:PORT, --older as a duration. Returns 0, or -EINVAL with
 * one line. */
int filter_set(struct filter *f, enum filter_key key, const char *value, struct err *e);

/* Whether the socket is meant; of its age census_is_older() decides. */
bool filter_match(const struct filter *f, const struct census *c, const struct census_socket *s);

/* As filter_match(), but for cause and age, which a second look may change. */
bool filter_match_facts(const struct filter *f, const struct census *c,
			const struct census_socket *s);

/* Whether the process is one that --pid, --comm and --cgroup mean. */
bool filter_match_proc(const struct filter *f, const struct census_proc *p);

/* Whether what the filter names exists: a namespace of the census, a process, a process of that
 * name, one in that cgroup. `c` may be NULL where no namespace is named. Returns 0; -ENOENT with
 * one line where it does not; -errno. Reads /proc.
 */
int filter_check(const struct filter *f, const struct census *c, struct err *e);

/* Whether the caller may see what is held by the processes that --pid, --comm and --cgroup mean: if
 * not, nothing found is not nothing there. Returns 0, also where the filter means no process or BPF
 * told of every descriptor; -EACCES with one line that names one such process; -errno. Reads /proc.
 */
int filter_check_seen(const struct filter *f, const struct census *c, struct err *e);

/* Whether sockets of this namespace can be meant. */
bool filter_match_netns(const struct filter *f, const struct census *c, uint32_t netns);

/* The states that a snapshot must take in so that the filter sees all that it can mean; 0: the
 * usual. */
unsigned filter_states(const struct filter *f);
