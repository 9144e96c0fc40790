/* SPDX-License-Identifier: MIT */
#include "kernel/holdcopy.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/tcpinfo.h"

int holdcopy_take(uint32_t pid, int32_t fd, struct err *e)
{
	_fd_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	int copy;

	if (pidfd < 0)
		return err_errno(e, -errno, "opening process %u", pid);
	copy = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	if (copy >= 0)
		return copy;
	if (errno == EPERM)
		return err_set(e, -EPERM,
			       "copying descriptor %d of process %u: not allowed: run as its user "
			       "or with CAP_SYS_PTRACE",
			       fd, pid);
	return err_errno(e, -errno, "copying descriptor %d of process %u", fd, pid);
}

static int ask_int(int copy, int name, int *out)
{
	socklen_t len = sizeof(*out);

	return getsockopt(copy, SOL_SOCKET, name, out, &len) < 0 ? -errno : 0;
}

/* TCP and nothing like it: the kernel reports Multipath TCP as a protocol of its own. */
static int ask_kind(int copy, struct err *e)
{
	int domain, protocol = 0, r = ask_int(copy, SO_DOMAIN, &domain);

	if (r == 0)
		r = ask_int(copy, SO_PROTOCOL, &protocol);
	if (r == -ENOTSOCK)
		return err_set(e, r, "the descriptor is no socket now");
	if (r < 0)
		return err_errno(e, r, "asking a copied socket for its protocol");
	if ((domain != AF_INET && domain != AF_INET6) || protocol != IPPROTO_TCP)
		return err_set(e, -ENOTSOCK, "the descriptor is %s now",
			       protocol == IPPROTO_MPTCP ? "a Multipath TCP socket"
							 : "another kind of socket");
	return 0;
}

typedef int name_fn(int, struct sockaddr *, socklen_t *);

static int ask_name(int copy, name_fn *ask, struct tcp_addr *out)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	if (ask(copy, (struct sockaddr *)&sa, &len) < 0)
		return -errno;
	return tcp_addr_from_sockaddr(out, &sa, len);
}

static int ask_identity(int copy, struct tcp_sample *s, struct err *e)
{
	socklen_t len = sizeof(s->cookie);
	struct stat st;
	int r, ifindex = 0;

	if (fstat(copy, &st) < 0)
		return err_errno(e, -errno, "asking a copied socket for its inode");
	s->inode = (uint32_t)st.st_ino;
	if (getsockopt(copy, SOL_SOCKET, SO_COOKIE, &s->cookie, &len) < 0)
		return err_errno(e, -errno, "asking a copied socket for its cookie");
	r = ask_name(copy, getsockname, &s->local);
	if (r == 0)
		r = ask_name(copy, getpeername, &s->peer);
	if (r == -ENOTCONN)
		return err_set(e, r, "it has no peer any more");
	if (r < 0)
		return err_errno(e, r, "asking a copied socket for its addresses");
	if (ask_int(copy, SO_BINDTOIFINDEX, &ifindex) == 0) /* since Linux 5.0 */
		s->ifindex = (uint32_t)ifindex;
	return 0;
}

static int ask_info(int copy, struct tcp_sample *s, struct err *e)
{
	int r = tcpinfo_ask(copy, s);

	return r < 0 ? err_errno(e, r, "asking a copied socket for its state") : 0;
}

int holdcopy_ask(int copy, struct tcp_sample *out, struct err *e)
{
	struct tcp_sample s = { 0 };
	int r = ask_kind(copy, e);

	if (r == 0)
		r = ask_identity(copy, &s, e);
	if (r == 0)
		r = ask_info(copy, &s, e);
	if (r == 0)
		*out = s;
	return r;
}

int holdcopy_compare(const struct tcp_sample *want, const struct tcp_sample *now, struct err *e)
{
	char was[TCP_ADDR_TEXT], is[TCP_ADDR_TEXT];

	if (!want->cookie || now->cookie != want->cookie || now->inode != want->inode)
		return err_set(e, -ESTALE, "the descriptor is another socket now");
	if (!tcp_addr_equal(&now->peer, &want->peer))
		return err_set(e, -ESTALE, "its peer was %s and is %s now",
			       tcp_addr_text(&want->peer, was), tcp_addr_text(&now->peer, is));
	if (!tcp_addr_equal(&now->local, &want->local))
		return err_set(e, -ESTALE, "its address was %s and is %s now",
			       tcp_addr_text(&want->local, was), tcp_addr_text(&now->local, is));
	if (now->state != want->state)
		return err_set(e, -ESTALE, "its state was %s and is %s now",
			       tcp_state_name(want->state), tcp_state_name(now->state));
	if (want->state == TCPS_CLOSE_WAIT && want->has_info && now->has_info &&
	    now->bytes_sent != want->bytes_sent)
		return err_set(e, -ESTALE, "its holder is sending: it is in use");
	return 0;
}

static bool ends_by_shutdown(uint8_t state)
{
	return state == TCPS_CLOSE_WAIT || state == TCPS_ESTABLISHED;
}

bool holdcopy_hit_other(uint8_t from, uint8_t after)
{
	/* Our FIN as the first of the two: only a connection without the peer's FIN gets there.
	 * What is connected again after the shutdown (SYN_SENT, ESTABLISHED) was not hit by it. */
	const unsigned closed_first = TCP_BIT(TCPS_FIN_WAIT1) | TCP_BIT(TCPS_FIN_WAIT2) |
				      TCP_BIT(TCPS_CLOSING);

	return from == TCPS_CLOSE_WAIT && (closed_first & TCP_BIT(after));
}

int holdcopy_shutdown(int copy, uint8_t from, uint8_t *after, struct err *e)
{
	struct tcp_sample s = { 0 };
	int r;

	if (!ends_by_shutdown(from))
		return err_set(e, -EINVAL, "%s does not end by a shutdown", tcp_state_name(from));
	if (shutdown(copy, SHUT_RDWR) < 0) {
		if (errno == ENOTCONN)
			return err_set(e, -ENOTCONN, "the connection ended by itself");
		return err_errno(e, -errno, "shutting down a copied socket");
	}
	r = ask_info(copy, &s, e);
	if (r < 0)
		return r;
	if (holdcopy_hit_other(from, s.state))
		return err_set(e, -EREMCHG,
			       "its process connected the socket anew at this very moment, and the "
			       "new connection was shut down (%s)",
			       tcp_state_name(s.state));
	*after = s.state;
	return 0;
}
