/* SPDX-License-Identifier: MIT */
#include "daytime/client.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "daytime/parse.h"

#define ADDRESSES_MAX 32

static const int64_t RESEND_NS = CLOCK_NS_PER_S;

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
		int ms = connect_poll_ms(deadline), n;

		if (ms == 0)
			return -ETIMEDOUT;
		n = poll(&p, 1, ms);
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
		if (n < 0 && !c->until_end && client_has_line(r->bytes.data, r->bytes.len))
			return 0; /* a reset after it takes nothing from it */
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

static int64_t real_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * CLOCK_NS_PER_S + ts.tv_nsec;
}

static int fetch_tcp(const struct client_config *c, const struct addrinfo *list, int64_t deadline,
		     struct client_reply *r, struct err *e)
{
	int ret;

	r->fd = connect_any(list, deadline, r->peer, e);
	if (r->fd < 0)
		return r->fd;
	ret = read_reply(c, r->fd, deadline, r);
	if (ret < 0)
		return err_errno(e, ret, "%s: read, after %zu bytes", r->peer, r->bytes.len);
	if (r->bytes.len == 0)
		return err_set(e, -ENODATA, "%s: read: the server closed without a reply", r->peer);
	return 0;
}

/* Waits for a datagram that tells something. Returns 0, or -errno: -ETIMEDOUT at the deadline. */
static int read_datagram(const struct client_config *c, int fd, int64_t deadline,
			 struct client_reply *r)
{
	char bytes[65536];

	for (;;) {
		int w = wait_readable(fd, deadline);
		ssize_t n;

		if (w < 0)
			return w;
		n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		/* Readable, and nothing to read: a checksum was wrong (poll(2), BUGS). */
		if (n == 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
			continue;
		if (n < 0)
			return -errno;
		r->cut = (size_t)n > c->limit;
		buf_add(&r->bytes, bytes, r->cut ? c->limit : (size_t)n);
		return r->bytes.failed ? -ENOMEM : 0;
	}
}

/* Asks one address until the deadline, once a second. Returns 0, or -errno with `step` named. */
static int ask_datagram(const struct client_config *c, int fd, int64_t deadline,
			struct client_reply *r, const char **step)
{
	for (;;) {
		int64_t again = clock_mono_ns() + RESEND_NS;
		int w;

		*step = "send";
		if (send(fd, "", 0, MSG_NOSIGNAL) < 0)
			return -errno;
		*step = "read";
		w = read_datagram(c, fd, again < deadline ? again : deadline, r);
		if (w != -ETIMEDOUT || again >= deadline)
			return w;
	}
}

static int fetch_udp(const struct client_config *c, const struct addrinfo *list, int64_t deadline,
		     struct client_reply *r, struct err *e)
{
	const struct addrinfo *order[ADDRESSES_MAX];
	size_t count = connect_order(list, order, ADDRESSES_MAX);
	struct buf failures = { 0 };
	int ret = -ETIMEDOUT;

	for (size_t i = 0; i < count && clock_mono_ns() < deadline; i++) {
		const struct addrinfo *a = order[i];
		int64_t now = clock_mono_ns();
		const char *step = "socket";

		connect_text(a->ai_addr, a->ai_addrlen, r->peer);
		r->fd = socket(a->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (r->fd >= 0)
			step = "connect";
		if (r->fd < 0 || connect(r->fd, a->ai_addr, a->ai_addrlen) < 0)
			ret = -errno;
		else /* what is left is shared by the addresses that are */
			ret = ask_datagram(c, r->fd, now + (deadline - now) / (int64_t)(count - i),
					   r, &step);
		if (ret == 0)
			break;
		buf_printf(&failures, "%s%s: %s: %s", failures.len ? "; " : "", r->peer, step,
			   strerror(-ret));
		r->fd = fd_close(r->fd);
	}
	if (ret < 0)
		err_set(e, ret, "%s", failures.data ? failures.data : "no time");
	buf_free(&failures);
	return ret;
}

int client_fetch(const struct client_config *c, const char *host, const char *port,
		 struct client_reply *reply, struct err *e)
{
	int64_t deadline = clock_mono_ns() + c->timeout_ns;
	struct client_reply r = { .fd = -1 };
	struct addrinfo *list = NULL;
	int ret = connect_resolve(host, port, c->family, c->udp ? SOCK_DGRAM : SOCK_STREAM,
				  deadline, &list, e);

	if (ret < 0)
		return ret;
	r.asked_ns = real_ns();
	ret = c->udp ? fetch_udp(c, list, deadline, &r, e) : fetch_tcp(c, list, deadline, &r, e);
	r.got_ns = real_ns();
	freeaddrinfo(list);
	if (ret < 0) {
		fd_close(r.fd);
		buf_free(&r.bytes);
		return ret;
	}
	*reply = r;
	return 0;
}

/* Whether the zone's name is this host's; then the fields are told which of its two times is meant.
 */
static bool is_local_zone(const char *name, struct tm *tm)
{
	tzset();
	if (strcmp(name, tzname[0]) != 0 && strcmp(name, tzname[1]) != 0)
		return false;
	if (strcmp(tzname[0], tzname[1]) != 0)
		tm->tm_isdst = !strcmp(name, tzname[1]);
	return true;
}

int client_offset(const struct client_reply *r, int64_t *ahead, int64_t *margin)
{
	struct daytime_stamp stamp;
	int64_t least, most;

	if (daytime_parse(r->bytes.data, r->bytes.len, &stamp) < 0)
		return -EINVAL;
	if (stamp.zone == DAYTIME_ZONE_NAMED && !is_local_zone(stamp.name, &stamp.tm))
		return -ENOENT;
	if (stamp.zone != DAYTIME_ZONE_KNOWN) {
		stamp.seconds = mktime(&stamp.tm);
		if (stamp.seconds == -1)
			return -EINVAL;
	}
	/* The reply names a second, so that its writer's clock was in it, at some time between our
	 * asking and our having the answer. */
	least = stamp.seconds * CLOCK_NS_PER_S - stamp.advance_us * 1000LL - r->got_ns;
	most = (stamp.seconds + 1) * CLOCK_NS_PER_S - stamp.advance_us * 1000LL - r->asked_ns;
	*ahead = least + (most - least) / 2;
	*margin = (most - least + 1) / 2;
	return 0;
}
