/* SPDX-License-Identifier: MIT */
#include "daytime/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */

static int option(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) < 0 ? -1 : value;
}

static int take_one(struct activation *a, int fd, struct err *e)
{
	int family = option(fd, SO_DOMAIN), type = option(fd, SO_TYPE), flags;

	if (family != AF_INET && family != AF_INET6)
		return err_set(e, -EINVAL, "descriptor %d from the service manager is no IP socket",
			       fd);
	if (type == SOCK_STREAM && option(fd, SO_ACCEPTCONN) == 1)
		a->tcp[a->tcp_count++] = fd;
	else if (type == SOCK_DGRAM)
		a->udp[a->udp_count++] = fd;
	else
		return err_set(e, -EINVAL,
			       "descriptor %d from the service manager is neither a TCP listener "
			       "nor a UDP socket",
			       fd);
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_errno(e, -errno, "fcntl on descriptor %d from the service manager", fd);
	return 0;
}

int activation_take(struct activation *a, struct err *e)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	uint64_t p = 0, n = 0;

	*a = (struct activation){ 0 };
	if (!pid || !fds)
		return 0;
	if (num_u64(pid, 1, INT32_MAX, &p) < 0)
		return err_set(e, -EINVAL, "LISTEN_PID=%s is no process", pid);
	if (p != (uint64_t)getpid())
		return 0; /* meant for another process, whatever LISTEN_FDS says */
	if (num_u64(fds, 1, ACTIVATION_MAX, &n) < 0)
		return err_set(e, -EINVAL, "LISTEN_FDS=%s is not 1 to %d sockets", fds,
			       ACTIVATION_MAX);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	for (int fd = FIRST_FD; fd < FIRST_FD + (int)n; fd++) {
		int r = take_one(a, fd, e);

		if (r < 0)
			return r;
	}
	return (int)n;
}

int notify_open(int *out, struct err *e)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t len = path ? strlen(path) : 0;
	_fd_ int fd = -1;

	if (!path) {
		*out = -1;
		return 0;
	}
	if (len < 2 || len >= sizeof(un.sun_path) || (path[0] != '/' && path[0] != '@'))
		return err_set(e, -EINVAL, "NOTIFY_SOCKET=%s is no socket's path", path);
	memcpy(un.sun_path, path, len);
	if (path[0] == '@')
		un.sun_path[0] = '\0'; /* an abstract address */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(e, -errno, "notification socket");
	if (connect(fd, (struct sockaddr *)&un,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		return err_errno(e, -errno, "cannot reach NOTIFY_SOCKET=%s", path);
	unsetenv("NOTIFY_SOCKET");
	*out = fd_take(&fd);
	return 0;
}

void notify_send(int fd, const char *message)
{
	if (fd >= 0)
		send(fd, message, strlen(message), MSG_DONTWAIT | MSG_NOSIGNAL);
}
