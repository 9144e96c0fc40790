/* SPDX-License-Identifier: MIT */
#include "daytime/connect.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"

#define ADDRESSES_MAX 32

/* poll() takes an int of milliseconds, which is 24 days. */
static const int64_t LONGEST_WAIT_NS = 3600 * CLOCK_NS_PER_S;
static const int64_t ATTEMPT_DELAY_NS = 250 * CLOCK_NS_PER_MS; /* RFC 8305, 8 */

struct race {
	const struct addrinfo *address[ADDRESSES_MAX];
	struct pollfd p[ADDRESSES_MAX]; /* as many as were started; fd -1: failed */
	size_t count, started, open;
	struct buf failures; /* "ADDRESS: connect: REASON; ..." */
	int last_error;
};

/* A look-up that may be given up while the C library's thread still works on it: what it uses stays
 * until it has ended. */
struct lookup {
	struct gaicb request;
	struct addrinfo hints;
	char *host, *port;
	struct lookup *next; /* of those given up */
};

/* What threads may still use; kept as long as this process lives. */
static struct lookup *given_up;

static void lookup_free(struct lookup *l)
{
	free(l->host);
	free(l->port);
	free(l);
}

/* Waits until the look-up has ended. Returns its result, or EAI_INPROGRESS at the deadline. */
static int lookup_wait(struct lookup *l, int64_t deadline)
{
	const struct gaicb *const one[] = { &l->request };
	int r;

	while ((r = gai_error(&l->request)) == EAI_INPROGRESS) {
		int64_t ns = deadline - clock_mono_ns();
		struct timespec left = { ns / CLOCK_NS_PER_S, ns % CLOCK_NS_PER_S };

		if (ns <= 0)
			break;
		gai_suspend(one, 1, &left);
	}
	return r;
}

/* getaddrinfo() that ends by the deadline, with EAI_INPROGRESS then: a thread asks. */
static int look_up(const char *host, const char *port, const struct addrinfo *hints,
		   int64_t deadline, struct addrinfo **list)
{
	struct lookup *l = calloc(1, sizeof(*l));
	struct gaicb *one[1];
	int r;

	if (!l)
		return EAI_MEMORY;
	l->host = strdup(host);
	l->port = strdup(port);
	l->hints = *hints;
	l->request = (struct gaicb){ .ar_name = l->host,
				     .ar_service = l->port,
				     .ar_request = &l->hints };
	one[0] = &l->request;
	r = l->host && l->port ? getaddrinfo_a(GAI_NOWAIT, one, 1, NULL) : EAI_MEMORY;
	if (r == 0)
		r = lookup_wait(l, deadline);
	if (r == EAI_INPROGRESS && gai_cancel(&l->request) != EAI_CANCELED) {
		l->next = given_up;
		given_up = l;
		return r;
	}
	if (r == 0)
		*list = l->request.ar_result;
	lookup_free(l);
	return r;
}

int connect_resolve(const char *host, const char *port, int family, int type, int64_t deadline,
		    struct addrinfo **list, struct err *e)
{
	struct addrinfo hints = { .ai_family = family,
				  .ai_socktype = type,
				  .ai_flags = AI_NUMERICHOST };
	int r = getaddrinfo(host, port, &hints, list);

	if (r == EAI_SERVICE && !strcmp(port, "daytime")) {
		port = "13"; /* no /etc/services here */
		r = getaddrinfo(host, port, &hints, list);
	}
	if (r == EAI_NONAME) { /* a name: only that needs asking */
		hints.ai_flags = 0;
		r = look_up(host, port, &hints, deadline, list);
	}
	if (r == 0)
		return 0;
	if (r == EAI_INPROGRESS)
		return err_set(e, -ETIMEDOUT, "cannot look up '%s': no answer in time", host);
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

int connect_poll_ms(int64_t deadline)
{
	int64_t ns = deadline - clock_mono_ns();

	if (ns <= 0)
		return 0;
	if (ns > LONGEST_WAIT_NS)
		ns = LONGEST_WAIT_NS;
	return (int)((ns + CLOCK_NS_PER_MS - 1) / CLOCK_NS_PER_MS);
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
	int64_t until = deadline;

	if (r->started < r->count && next_at < until)
		until = next_at;
	for (size_t i = 0; i < r->started; i++)
		r->p[i].revents = 0;
	poll(r->p, r->started, connect_poll_ms(until));
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
