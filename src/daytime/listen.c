/* SPDX-License-Identifier: MIT */
#include "daytime/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

/* Fills the address to bind; `family` counts only where the spec names no address. Returns its
 * length, or 0 where the address is none. */
static socklen_t fill(const struct listen_spec *spec, int family, struct sockaddr_storage *ss)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(spec->port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(spec->port) };

	memset(ss, 0, sizeof(*ss));
	if (spec->address) {
		if (inet_pton(AF_INET, spec->address, &in.sin_addr) == 1)
			family = AF_INET;
		else if (inet_pton(AF_INET6, spec->address, &in6.sin6_addr) == 1)
			family = AF_INET6;
		else
			return 0;
	}
	if (family == AF_INET) {
		memcpy(ss, &in, sizeof(in));
		return sizeof(in);
	}
	memcpy(ss, &in6, sizeof(in6));
	return sizeof(in6);
}

int listen_port(int fd, uint16_t *port)
{
	struct sockaddr_in6 in6 = { 0 }; /* the port stands in the same place in both families */
	socklen_t len = sizeof(in6);

	if (getsockname(fd, (struct sockaddr *)&in6, &len) < 0)
		return -errno;
	*port = ntohs(in6.sin6_port);
	return 0;
}

static int set(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int bind_failed(const struct listen_spec *spec, int error, struct err *e)
{
	return err_set(e, -error, "cannot bind %s%sport %u: %s%s",
		       spec->address ? spec->address : "", spec->address ? " " : "", spec->port,
		       strerrordesc_np(error),
		       error == EACCES ? "; run as root, or name a port from 1024" : "");
}

/* A socket of this type, bound to the port and ready but for listen(2). */
static int bind_family(const struct listen_spec *spec, int family, int type, struct err *e)
{
	struct sockaddr_storage ss;
	socklen_t len = fill(spec, family, &ss);
	_fd_ int fd = -1;
	int r = 0;

	if (len == 0)
		return err_set(e, -EINVAL, "'%s' is no IPv4 or IPv6 address", spec->address);
	family = ss.ss_family;
	fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(e, -errno, "cannot open a socket for port %u", spec->port);
	if (type == SOCK_STREAM)
		r = set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (r == 0 && spec->shared)
		r = set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (r == 0 && family == AF_INET6)
		r = set(fd, IPPROTO_IPV6, IPV6_V6ONLY, spec->address != NULL);
	if (r < 0)
		return err_errno(e, r, "cannot set up the socket for port %u", spec->port);
	if (bind(fd, (struct sockaddr *)&ss, len) < 0)
		return bind_failed(spec, errno, e);
	return fd_take(&fd);
}

static int bind_any(const struct listen_spec *spec, int type, struct err *e)
{
	int fd = bind_family(spec, AF_INET6, type, e);

	/* A kernel without IPv6, or with it disabled on every interface. */
	if (!spec->address && (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL))
		fd = bind_family(spec, AF_INET, type, e);
	return fd;
}

int listen_tcp(const struct listen_spec *spec, uint16_t *port, struct err *e)
{
	_fd_ int fd = bind_any(spec, SOCK_STREAM, e);
	int r;

	if (fd < 0)
		return fd_take(&fd);
	/* One segment leaves nothing to control, and bbr, where it is the default, costs 5 % of the
	 * CPU. Connections inherit it. Where it is refused nothing is lost. */
	setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
	if (listen(fd, SOMAXCONN) < 0)
		return err_errno(e, -errno, "cannot listen on port %u", spec->port);
	r = listen_port(fd, port);
	return r < 0 ? err_errno(e, r, "cannot tell the port") : fd_take(&fd);
}

int listen_udp_adopt(int fd, struct err *e)
{
	int r = set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);

	if (r < 0) /* an IPv4 socket */
		r = set(fd, IPPROTO_IP, IP_PKTINFO, 1);
	return r < 0 ? err_errno(e, r, "cannot have UDP datagrams tell where they went") : 0;
}

int listen_udp(const struct listen_spec *spec, uint16_t *port, struct err *e)
{
	_fd_ int fd = bind_any(spec, SOCK_DGRAM, e);
	int r;

	if (fd < 0)
		return fd_take(&fd);
	r = listen_udp_adopt(fd, e);
	if (r < 0)
		return r;
	r = listen_port(fd, port);
	return r < 0 ? err_errno(e, r, "cannot tell the UDP port") : fd_take(&fd);
}
