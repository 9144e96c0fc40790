/* SPDX-License-Identifier: MIT */
#include "daytime/client.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

bool client_has_line(const char *bytes, size_t len)
{
	bool text = false;

	for (size_t i = 0; i < len; i++) {
		if (bytes[i] == '\n' && text)
			return true;
		text |= bytes[i] != '\n' && bytes[i] != '\r';
	}
	return false;
}

/* Waits until there is something to read. Returns 0 or -ETIMEDOUT. */
static int wait_readable(int fd, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	for (;;) {
		int64_t ns = deadline - clock_mono_ns();
		int n;

		if (ns <= 0)
			return -ETIMEDOUT;
		n = poll(&p, 1, (int)((ns + CLOCK_NS_PER_MS - 1) / CLOCK_NS_PER_MS));
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

/* Reads the reply from a non-blocking connection. Returns 0 or -errno. */
static int read_reply(const struct client_config *c, int fd, int64_t deadline,
		      struct client_reply *r)
{
	char chunk[4096];

	for (;;) {
		size_t room = c->limit - r->bytes.len;
		ssize_t n = recv(fd, chunk, room < sizeof(chunk) ? room + 1 : sizeof(chunk),
				 MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			int w;

			if (!c->until_end && client_has_line(r->bytes.data, r->bytes.len))
				return 0;
			w = wait_readable(fd, deadline);
			if (w < 0)
				return w;
			continue;
		}
		if (n < 0)
			return -errno;
		r->ended = n == 0;
		if (n == 0)
			return 0;
		r->cut = (size_t)n > room;
		buf_add(&r->bytes, chunk, r->cut ? room : (size_t)n);
		if (r->bytes.failed)
			return -ENOMEM;
		if (r->cut)
			return 0;
	}
}

int client_fetch(const struct client_config *c, const char *host, const char *port,
		 struct client_reply *reply, struct err *e)
{
	int64_t deadline = clock_mono_ns() + c->timeout_ns;
	struct client_reply r = { .fd = -1 };
	struct addrinfo *list = NULL;
	int ret = connect_resolve(host, port, c->family, SOCK_STREAM, &list, e);

	if (ret < 0)
		return ret;
	r.fd = connect_any(list, deadline, r.peer, e);
	freeaddrinfo(list);
	if (r.fd < 0)
		return r.fd;
	ret = read_reply(c, r.fd, deadline, &r);
	if (ret < 0)
		err_errno(e, ret, "%s: read, after %zu bytes", r.peer, r.bytes.len);
	else if (r.bytes.len == 0)
		ret = err_set(e, -ENODATA, "%s: read: the server closed without a reply", r.peer);
	if (ret < 0) {
		fd_close(r.fd);
		buf_free(&r.bytes);
		return ret;
	}
	*reply = r;
	return 0;
}
