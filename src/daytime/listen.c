/* SPDX-License-Identifier: MIT */
#include "daytime/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

static socklen_t wildcard(int family, uint16_t port, struct sockaddr_storage *ss)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	memset(ss, 0, sizeof(*ss));
	if (family == AF_INET) {
		memcpy(ss, &in, sizeof(in));
		return sizeof(in);
	}
	memcpy(ss, &in6, sizeof(in6));
	return sizeof(in6);
}

/* The port that a socket is bound to. */
static int bound_port(int fd, uint16_t *port)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct sockaddr_in6 in6;

	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
		return -errno;
	memcpy(&in6, &ss, sizeof(in6)); /* the port stands in the same place in both families */
	*port = ntohs(in6.sin6_port);
	return 0;
}

static int listen_family(int family, uint16_t *port, struct err *e)
{
	static const int on = 1, off = 0;
	struct sockaddr_storage ss;
	socklen_t len = wildcard(family, *port, &ss);
	_fd_ int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_errno(e, -errno, "socket for port %u", *port);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return err_errno(e, -errno, "SO_REUSEADDR for port %u", *port);
	if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0)
		return err_errno(e, -errno, "dual stack on port %u", *port);
	if (bind(fd, (struct sockaddr *)&ss, len) < 0)
		return err_errno(e, -errno, "cannot bind port %u", *port);
	if (listen(fd, SOMAXCONN) < 0)
		return err_errno(e, -errno, "cannot listen on port %u", *port);
	if (bound_port(fd, port) < 0)
		return err_errno(e, -errno, "cannot tell the port");
	return fd_take(&fd);
}

int listen_tcp(uint16_t *port, struct err *e)
{
	int fd = listen_family(AF_INET6, port, e);

	/* A kernel without IPv6, or with it disabled on every interface. */
	if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)
		fd = listen_family(AF_INET, port, e);
	return fd;
}
