/* SPDX-License-Identifier: MIT */
/* A copy of a descriptor that another process holds, and proof of what it is.
 *
 * Between the moment in which a socket was found and the moment in which something is done with it,
 * its process can close the descriptor, open another socket under the same number, or die and leave
 * its pid to another. None of that can be prevented; so nothing is ever done by number. The copy
 * pins the socket: what it is asked, it answers for itself, and what is done with it is done to
 * that very socket, whatever the process does meanwhile.
 *
 * One thing can still change under a copy: its process may dissolve the connection and connect the
 * same socket again (connect(2) with AF_UNSPEC). So the state is asked last, shut down at once, and
 * asked again; holdcopy_shutdown() says so where another connection was hit. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "tcp/sample.h"

/* Copies descriptor `fd` of process `pid` (pidfd_getfd(2)). Returns an owned CLOEXEC descriptor;
 * -ESRCH or -EBADF where process or descriptor are gone; -EPERM without leave to trace the process
 * (CAP_SYS_PTRACE); -ENOSYS before Linux 5.6; another -errno. Sets text. Does not block. */
int holdcopy_take(uint32_t pid, int32_t fd, struct err *e);

/* Asks the copy what it is: addresses, cookie, inode, and last state and TCP_INFO. The queues and
 * the timer are not known this way and left zero. Returns 0; -ENOTSOCK where it is no TCP socket
 * (Multipath TCP included, whose connection is not the subflow that was listed); -ENOTCONN where it
 * has no peer any more; another -errno. Sets text; `out` is untouched on failure. */
int holdcopy_ask(int copy, struct tcp_sample *out, struct err *e);

/* Whether `now` is the socket, the connection and the state that `want` describes, and nothing was
 * sent in CLOSE_WAIT since. Pure. Returns 0, or -ESTALE with what differs. */
int holdcopy_compare(const struct tcp_sample *want, const struct tcp_sample *now, struct err *e);

/* shutdown(SHUT_RDWR) on a copy that was just found in state `from`: the peer gets a FIN, whoever
 * waits on the socket wakes, the descriptor stays. Returns 0 with the state in which the socket
 * then was in `after`; -ENOTCONN where the connection had ended by itself; -EREMCHG where the state
 * afterwards cannot follow from `from`: its process had connected the socket anew in between;
 * another -errno. Sets text. Does not block. */
int holdcopy_shutdown(int copy, uint8_t from, uint8_t *after, struct err *e);

/* Whether a socket that was shut down in state `from` and is in `after` right afterwards was
 * another connection by then: CLOSE_WAIT has the peer's FIN already, and cannot become FIN_WAIT_1.
 * Pure. */
bool holdcopy_hit_other(uint8_t from, uint8_t after);
