/* SPDX-License-Identifier: MIT */
/* The reported ends that are not over: a table by the kernel's address of the socket. It may hold
 * a hundred thousand, so an end is small. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "doctor/holders.h"
#include "tcp/addr.h"
#include "tcp/watch.h"

/* A descriptor of a process. */
struct end_owner {
	uint32_t holder; /* id; 0: none */
	int32_t fd;
};

struct open_end {
	uint64_t sk;    /* 0: a free item */
	uint64_t began; /* names the end together with `sk` */
	uint64_t cookie, cgroup;
	union {
		uint8_t v4[2][4]; /* AF_INET: here and there */
		uint8_t (*v6)[16];
	} address;
	struct end_owner *more; /* owners 1 to TW_MAX_OWNERS - 1; NULL: none */
	struct end_owner first;
	uint16_t local_port, peer_port;
	uint32_t netns;
	uint32_t first_fin;   /* as in watch_event */
	uint16_t flags;       /* enum watch_flag, as last heard */
	uint16_t owner_count; /* may exceed TW_MAX_OWNERS */
	uint8_t family;       /* 0: no address was set */
	uint8_t state;        /* TCPS_* when it was reported */
	bool waiting : 1;     /* in an accept queue: the owners are the listener's */
	bool hidden : 1;      /* not said: the line of the connection's other end stands for it */
	bool late : 1;        /* not said yet: it is in the doctor's list for later */
	bool reading : 1;     /* what was heard of it waits in that list for a stack to be read */
	bool said : 1;
	bool shared : 1;    /* more than one process holds it */
	bool blameless : 1; /* so far nobody is to blame for it, as its lines say */
	bool again : 1;     /* to be looked at again: that may have changed */
	bool unsought : 1;  /* nobody has looked for its owners yet */
	bool renewing : 1;  /* the owners are of an earlier line, until one is found now */
};

struct ends {
	struct open_end *v;
	uint32_t *slots; /* by `sk`: index into v plus 1; 0: free. Probed linearly */
	uint32_t *
		pairs; /* the same by the two addresses, in no order: both ends of one connection */
	uint32_t cap, mask, used, free, count;
	uint32_t hidden; /* of these */
	struct holders holders;
};

/* Both addresses of an end, in network byte order, and its ports, in the host's. */
struct end_address {
	const uint8_t *local, *peer; /* 4 or 16 bytes, by family */
	uint16_t local_port, peer_port;
	uint8_t family;
};

/* Most that are kept at a time. */
#define ENDS_MAX 262144

/* Returns 0 or -ENOMEM. */
int ends_init(struct ends *t);
void ends_free(struct ends *t);

/* The end, or NULL. Valid until the next insertion. */
struct open_end *ends_find(const struct ends *t, uint64_t sk);

/* A fresh item for the end, in that of an older one of the same address; NULL where there is no
 * room. Moves the others. */
struct open_end *ends_insert(struct ends *t, uint64_t sk);

/* Sets the end's addresses, once. Returns 0 or -ENOMEM. */
int ends_set_address(struct ends *t, struct open_end *end, const struct end_address *a);

const uint8_t *ends_local(const struct open_end *end);
const uint8_t *ends_peer(const struct open_end *end);

/* The other end of the same connection, where it is here too; else NULL. Addresses are no proof: in
 * other network namespaces, and on other links, they may be another's. So one of the two closed
 * first, the other holds, and both number the FIN that came first alike. An address of the host
 * itself (127.0.0.1) is the same only in its own network namespace. */
struct open_end *ends_partner(const struct ends *t, const struct open_end *end);

/* Sets whether it is hidden. */
void ends_hide(struct ends *t, struct open_end *end, bool hidden);

/* Removes it, with what it owns. */
void ends_remove(struct ends *t, struct open_end *end);

/* Adds an owner unless it is there: before the first where its process started before that one's.
 * Without memory, or past TW_MAX_OWNERS, it is only counted. */
void ends_add_owner(struct ends *t, struct open_end *end, const struct tw_owner *owner);

/* Forgets the owners, to have them counted anew. */
void ends_drop_owners(struct ends *t, struct open_end *end);

/* Fills in owner number `i`. Returns whether there is one and it was kept. */
bool ends_owner(const struct ends *t, const struct open_end *end, uint32_t i, struct tw_owner *out);

/* How many different processes hold it, of those that were kept; two at least where there are more
 * than one at all. */
uint32_t ends_processes(const struct ends *t, const struct open_end *end);
