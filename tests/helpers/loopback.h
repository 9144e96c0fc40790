/* SPDX-License-Identifier: MIT */
/* A listener of a program of the tests. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

/* Listens on loopback, at a port of the kernel's choice: the descriptor, and where it listens; < 0
 * with errno. */
static inline int loopback_listen(bool v6, struct sockaddr_storage *at, socklen_t *len)
{
	int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memset(at, 0, sizeof(*at));
	at->ss_family = v6 ? AF_INET6 : AF_INET;
	if (v6)
		((struct sockaddr_in6 *)at)->sin6_addr = in6addr_loopback;
	else
		((struct sockaddr_in *)at)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*len = v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	if (fd < 0 || bind(fd, (struct sockaddr *)at, *len) || listen(fd, 128) ||
	    getsockname(fd, (struct sockaddr *)at, len))
		return -1;
	return fd;
}
