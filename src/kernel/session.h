/* SPDX-License-Identifier: MIT */
/* The caller's own kin: what must live on while it works. Its ancestors, the session that it was
 * typed in, and the connection over which that session came. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "tcp/addr.h"

#define SESSION_DEPTH 64

/* Of /proc/PID/stat; all as the pid namespace of /proc numbers them, 0: from outside of it. */
struct session_stat {
	int32_t parent;
	int32_t session;
	int32_t tty; /* device number of the controlling terminal; 0: none */
};

struct session {
	uint32_t self;
	uint32_t ancestors[SESSION_DEPTH]; /* nearest first, self excluded */
	int32_t sessions[SESSION_DEPTH];   /* the caller's, and those of ancestors at a terminal */
	uint32_t n_ancestors, n_sessions;
	bool remote; /* the two below are known: $SSH_CONNECTION */
	struct tcp_addr client, server;
};

enum session_kin {
	SESSION_STRANGER = 0,
	SESSION_INIT,     /* pid 1 */
	SESSION_SELF,     /* the caller */
	SESSION_ANCESTOR, /* of the caller */
	SESSION_SAME,     /* in its session, or in that of an ancestor at a terminal */
};

/* Reads the caller's kin from /proc; `ssh_connection` is the value of $SSH_CONNECTION, or NULL.
 * Returns 0, or -errno with text: without this knowledge nothing may be released. */
int session_read(struct session *out, const char *ssh_connection, struct err *e);

/* What process `pid` is to the caller, asked of /proc now. -ESRCH where there is no such process,
 * another -errno where it cannot be told. */
int session_kin(const struct session *s, uint32_t pid);

/* Whether these are the addresses, in either order, of the connection that the session came by. An
 * IPv4 address and its v4-mapped form are the same. Pure. */
bool session_is_remote(const struct session *s, const struct tcp_addr *a, const struct tcp_addr *b);

/* The pure decoders: of /proc/PID/stat, whose second field may hold any bytes, and of
 * "client_ip client_port server_ip server_port". Return 0 or -EBADMSG; `out` is then untouched. */
int session_decode_stat(const char *text, size_t len, struct session_stat *out);
int session_decode_ssh(const char *text, struct tcp_addr *client, struct tcp_addr *server);
