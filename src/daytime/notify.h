/* SPDX-License-Identifier: MIT */
/* systemd's two protocols for services, sd_listen_fds(3) and sd_notify(3), whose manuals promise
 * that they are stable and ask small programs to speak them themselves: libsystemd would double the
 * resident memory of this server and widen what it calls. */
#pragma once

#include "base/err.h"

#define ACTIVATION_MAX 8

/* Takes the sockets that the service manager passed, if any, and makes them non-blocking and
 * close-on-exec. TCP listeners go to `tcp`, UDP sockets to `udp`; any other kind is refused. Clears
 * the environment variables. Returns how many there were, 0 when not started with sockets, or
 * -errno. Descriptors are the caller's. */
struct activation {
	int tcp[ACTIVATION_MAX], udp[ACTIVATION_MAX];
	unsigned tcp_count, udp_count;
};
int activation_take(struct activation *a, struct err *e);

/* Opens the manager's notification socket, for notify_send() later: a descriptor in `fd`, or -1
 * where nobody asks for notifications. Returns 0 or -errno. */
int notify_open(int *fd, struct err *e);

/* Sends "READY=1", "STOPPING=1"... Does not block; a message that cannot be sent is lost. */
void notify_send(int fd, const char *message);
