/* SPDX-License-Identifier: MIT */
#include "daytime/connect.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"

#define ADDRESSES_MAX 32

static const int64_t ATTEMPT_DELAY_NS = 250 * CLOCK_NS_PER_MS; /* RFC 8305, 8 */

struct race {
	const struct addrinfo *address[ADDRESSES_MAX];
	struct pollfd p[ADDRESSES_MAX]; /* as many as were started; fd -1: failed */
	size_t count, started, open;
	struct buf failures; /* "ADDRESS: connect: REASON; ..." */
	int last_error;
};

int connect_resolve(const char *host, const char *port, int family, int type,
		    struct addrinfo **list, struct err *e)
{
	struct addrinfo hints = { .ai_family = family, .ai_socktype = type };
	int r = getaddrinfo(host, port, &hints, list);

	if (r == EAI_SERVICE && !strcmp(port, "daytime"))
		r = getaddrinfo(host, "13", &hints, list); /* no /etc/services here */
	if (r == 0)
		return 0;
	if (r == EAI_SYSTEM)
		return err_errno(e, -errno, "cannot look up '%s'", host);
	if (r == EAI_SERVICE)
		return err_set(e, -ENOENT, "no service '%s' is known here; give the port's number",
			       port);
	return err_set(e, -ENOENT, "cannot look up '%s': %s", host, gai_strerror(r));
}

char *connect_text(const struct sockaddr *sa, socklen_t len, char text[CONNECT_TEXT])
{
	char host[NI_MAXHOST], port[NI_MAXSERV];

	if (getnameinfo(sa, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV))
		strcpy(text, "?");
	else if (strchr(host, ':'))
		snprintf(text, CONNECT_TEXT, "[%s]:%s", host, port);
	else
		snprintf(text, CONNECT_TEXT, "%s:%s", host, port);
	return text;
}

size_t connect_order(const struct addrinfo *list, const struct addrinfo **order, size_t max)
{
	const struct addrinfo *same = list, *other = list;
	int first = list->ai_family;
	size_t n = 0;

	while (n < max && (same || other)) {
		while (same && same->ai_family != first)
			same = same->ai_next;
		if (same) {
			order[n++] = same;
			same = same->ai_next;
		}
		while (other && other->ai_family == first)
			other = other->ai_next;
		if (other && n < max) {
			order[n++] = other;
			other = other->ai_next;
		}
	}
	return n;
}

static void note_failure(struct race *r, size_t i, const char *step, int error)
{
	char text[CONNECT_TEXT];

	connect_text(r->address[i]->ai_addr, r->address[i]->ai_addrlen, text);
	buf_printf(&r->failures, "%s%s: %s: %s", r->failures.len ? "; " : "", text, step,
		   strerror(error));
	r->last_error = error;
}

/* Starts the next attempt. Returns whether it is connected at once. */
static bool start_next(struct race *r)
{
	size_t i = r->started++;
	const struct addrinfo *a = r->address[i];
	int fd = socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
			a->ai_protocol);

	r->p[i] = (struct pollfd){ .fd = fd, .events = POLLOUT };
	if (fd < 0) {
		note_failure(r, i, "socket", errno);
		return false;
	}
	if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
		return true;
	if (errno != EINPROGRESS) {
		note_failure(r, i, "connect", errno);
		r->p[i].fd = fd_close(fd);
		return false;
	}
	r->open++;
	return false;
}

/* Looks at every attempt that has come to an end. Returns the index of one that connected, or -1.
 */
static int settle(struct race *r)
{
	for (size_t i = 0; i < r->started; i++) {
		int error = 0;
		socklen_t len = sizeof(error);

		if (r->p[i].fd < 0 || !r->p[i].revents)
			continue;
		if (getsockopt(r->p[i].fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
			error = errno;
		if (!error)
			return (int)i;
		note_failure(r, i, "connect", error);
		r->p[i].fd = fd_close(r->p[i].fd);
		r->open--;
	}
	return -1;
}

/* Waits for an attempt to end, until the next is due or the time is up. */
static void wait_a_while(struct race *r, int64_t deadline, int64_t next_at)
{
	int64_t until = deadline, ns;

	if (r->started < r->count && next_at < until)
		until = next_at;
	ns = until - clock_mono_ns();
	if (ns < 0)
		ns = 0;
	for (size_t i = 0; i < r->started; i++)
		r->p[i].revents = 0;
	poll(r->p, r->started, (int)((ns + CLOCK_NS_PER_MS - 1) / CLOCK_NS_PER_MS));
}

static int run_race(struct race *r, int64_t deadline)
{
	int64_t next_at = 0;

	for (;;) {
		int64_t now = clock_mono_ns();
		int won;

		if (now >= deadline)
			return -1;
		if (r->started < r->count && (r->open == 0 || now >= next_at)) {
			if (start_next(r))
				return (int)r->started - 1;
			next_at = now + ATTEMPT_DELAY_NS;
			continue;
		}
		if (r->open == 0)
			return -1;
		wait_a_while(r, deadline, next_at);
		won = settle(r);
		if (won >= 0)
			return won;
	}
}

int connect_any(const struct addrinfo *list, int64_t deadline, char peer[CONNECT_TEXT],
		struct err *e)
{
	struct race r = { .last_error = ETIMEDOUT };
	int won, fd = -1;

	r.count = connect_order(list, r.address, ADDRESSES_MAX);
	won = run_race(&r, deadline);
	if (won >= 0) {
		fd = fd_take(&r.p[won].fd);
		connect_text(r.address[won]->ai_addr, r.address[won]->ai_addrlen, peer);
	} else {
		for (size_t i = 0; i < r.started; i++)
			if (r.p[i].fd >= 0)
				note_failure(&r, i, "connect", ETIMEDOUT);
		fd = err_set(e, -r.last_error, "%s", r.failures.data ? r.failures.data : "no time");
	}
	for (size_t i = 0; i < r.started; i++)
		fd_close(r.p[i].fd);
	buf_free(&r.failures);
	return fd;
}
