/* SPDX-License-Identifier: MIT */
/* A census: the sockets of a host at one moment, with who holds them and what they mean. Pure data,
 * filled by the doctor's snapshot, read by reports. Items refer to one another by index. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tcp/sample.h"
#include "tcp/verdict.h"

#define CENSUS_NONE UINT32_MAX

enum census_tier {
	CENSUS_TIER_PROC, /* sock_diag, and the /proc that the caller may read */
	CENSUS_TIER_BPF,  /* descriptors from a BPF iterator, the rest from sock_diag */
};

/* Bytes that other programs chose (comm, cgroup) are as they came: escape them when printing. */
struct census_proc {
	uint32_t pid;
	uint32_t uid;
	uint64_t start;     /* /proc/PID/stat's starttime, in ticks; 0: unknown */
	uint64_t netns;     /* inode of its network namespace; 0: unknown */
	char comm[16];      /* NUL-terminated; "" where the process is gone */
	char container[72]; /* container id, or "" outside of any */
	char *cgroup;       /* path in the unified hierarchy; NULL: unknown. Owned by the census */
};

struct census_holder {
	uint32_t proc; /* index */
	int32_t fd;
};

/* Adjacent holders of one socket: holders[first] to holders[first + n - 1]. */
struct census_held {
	uint32_t first, n;
};

struct census_netns {
	uint64_t ino;
	char name[64];             /* what lives in it; "" where nothing is known */
	uint16_t port_lo, port_hi; /* ip_local_port_range; 0, 0: unknown */
	uint32_t fin_timeout_ms;   /* tcp_fin_timeout; 0: unknown */
	bool seen;                 /* sock_diag was asked in it */
	bool has_connections;      /* false: the kernel says that there are listeners at most */
};

struct census_listener {
	struct tcp_sample s; /* recv_q: connections queued; send_q: the backlog */
	struct census_held held;
	uint32_t netns; /* index */
};

struct census_socket {
	struct tcp_sample s;
	struct tcp_verdict v;
	struct census_held held;
	uint32_t netns;     /* index */
	uint32_t listener;  /* index, for not-accepted; CENSUS_NONE: not found, or one of several */
	uint32_t listeners; /* how many it may be: census_next_listener() */
	uint32_t processes; /* that hold it, as far as seen */
	bool all_seen;
	bool flowing; /* a second look saw more bytes */
};

/* TIME_WAIT towards one destination from one local address. */
struct census_time_wait {
	struct tcp_addr local; /* port 0 where `outgoing`: each has its own; else the service's */
	struct tcp_addr peer;  /* port 0 where not `outgoing` */
	uint32_t netns;        /* index */
	uint32_t n;
	uint32_t last_ms; /* until the last of them ends */
	bool outgoing;    /* connected from here: each takes one port of ip_local_port_range */
};

/* Processes whose descriptors may not be read, by user. */
#define CENSUS_UNSEEN_USERS 3
struct census_unseen {
	uint32_t processes;
	uint32_t users_n; /* of those that were found first */
	struct {
		uint32_t uid, processes;
	} users[CENSUS_UNSEEN_USERS];
};

/* So many are named. */
#define CENSUS_UNTOLD_PIDS 4

/* What could not be seen. */
struct census_limits {
	struct census_unseen procs_unseen;
	uint32_t netns_unseen; /* namespaces that may not be entered */
	uint32_t netns_untold; /* processes whose namespace may not be known */
	uint32_t netns_untold_pid[CENSUS_UNTOLD_PIDS]; /* of them, the first */
	uint32_t dead_unseen; /* descriptors without a connection that could not be looked into */
	bool privileged;      /* no caller could see more */
	bool partial;         /* an answer of the kernel was cut short, changed or refused */
	char why[256];        /* of `partial`: one line */
	char tier_why[256]; /* why the BPF tier was not used; "" where it was, or was not wanted */
};

struct census {
	enum census_tier tier;
	struct census_socket *sockets;
	struct census_holder *holders;
	struct census_proc *procs;
	struct census_netns *netns;
	struct census_listener *listeners;
	struct census_time_wait *time_wait;
	uint32_t sockets_n, holders_n, procs_n, netns_n, listeners_n, time_wait_n;
	uint32_t sockets_cap, holders_cap, procs_cap, netns_cap, listeners_cap, time_wait_cap;
	uint32_t time_wait_all; /* TIME_WAIT entries counted */
	uint32_t took_ms;       /* from before the first answer to after the last */
	struct census_limits limits;
};

/* Frees what the census holds and makes it empty and usable again. */
void census_free(struct census *c);

/* Appends a zeroed item and returns its index, or CENSUS_NONE without memory. Earlier pointers into
 * the array are invalid afterwards. */
uint32_t census_add_socket(struct census *c);
uint32_t census_add_proc(struct census *c);
uint32_t census_add_netns(struct census *c, uint64_t ino);
uint32_t census_add_listener(struct census *c);
uint32_t census_add_time_wait(struct census *c);

/* Appends one holder. Returns 0 or -ENOMEM. */
int census_add_holder(struct census *c, uint32_t proc, int32_t fd);

/* The namespace's index, or CENSUS_NONE. */
uint32_t census_find_netns(const struct census *c, uint64_t ino);

/* What the rules want to know beside the socket's sample. */
struct tcp_context census_context(const struct census *c, const struct census_socket *s);

/* Finds the listeners in whose accept queue a connection not yet accepted may wait, and sets
 * `listener` and `listeners`. They are bound to its exact local address, else to the unspecified
 * one, in the same namespace. There are several where they share the port (SO_REUSEPORT); one whose
 * queue was empty after the connection had come is none of them. */
void census_find_listener(const struct census *c, struct census_socket *s);

/* What that found, one after the other: the next after `after` (CENSUS_NONE: the first), or
 * CENSUS_NONE past the last. */
uint32_t census_next_listener(const struct census *c, const struct census_socket *s,
			      uint32_t after);
#define CENSUS_FOR_LISTENERS(i, c, s)                                                \
	for (uint32_t i = census_next_listener(c, s, CENSUS_NONE); i != CENSUS_NONE; \
	     i = census_next_listener(c, s, i))

/* Whether this host made the connection: its port is of the ephemeral range, so that the kernel
 * chose it, and nobody listens there. `netns` is an index, or CENSUS_NONE: not known, false. */
bool census_is_outgoing(const struct census *c, const struct tcp_sample *s, uint32_t netns);

/* Whether it counts as at least `older_ms` in its state. 0: always. What has no known age never
 * does; what is known "at least" is as old as that. Where it is not known when a dead one died
 * (dead_ms), it counts where two looks found it, as nothing but its program ends it, unless the
 * last ACK that it got proves that it was alive less than `older_ms` ago. */
bool census_is_older(const struct census_socket *s, uint64_t older_ms);

/* What is younger than this needs nobody yet, unless a person says otherwise. */
#define CENSUS_OLDER_MS 60000

/* Whether a person must look at it: its cause does not end by itself, its age is known, and it is
 * census_is_older(). */
bool census_needs_person(const struct census_socket *s, uint64_t older_ms);
