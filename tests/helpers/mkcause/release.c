/* SPDX-License-Identifier: MIT */
/* Closes what stays only for want of a close, each by who holds it, and says when. What waits for a
 * peer that is gone, or takes nothing, is left. And has the peers of some end their connections. */
#include "mkcause.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define GONE_S 15 /* more than an ACK is ever put off */

/* Ends at which a close is the end, and of which nothing is left then. */
static bool is_released(const struct made *m)
{
	return m->state == TCPS_CLOSE_WAIT || !strcmp(m->cause, "dead");
}

static bool is_of(const struct made *m, const char *word)
{
	return !strcmp(m->cause, word);
}

/* The call has sent the FIN; or none, where the end is dead or unread bytes are left. */
static void note_close(struct made *m, int64_t from)
{
	m->closed = (struct span){ from, wall_ns() };
	m->n_holders = 0;
}

/* All that this process and the keeper hold alone. */
static void close_own(struct fix *f)
{
	for (size_t i = 0; i < f->n; i++) {
		struct made *m = &f->made[i];
		int64_t from = wall_ns();

		if (!is_released(m) || is_of(m, "shared") || !m->n_holders)
			continue;
		if (m->fd >= 0) {
			close(m->fd);
			m->fd = -1;
		} else {
			keep_no_more(f, m, KEEP_NO_MORE);
		}
		note_close(m, from);
	}
}

/* Those that several hold: the last one to let go is killed. */
static void close_shared(struct fix *f)
{
	int64_t from;

	for (size_t i = 0; i < f->n; i++) {
		struct made *m = &f->made[i];

		if (!is_of(m, "shared") || m->fd < 0)
			continue;
		close(m->fd);
		m->fd = -1;
	}
	from = wall_ns();
	sharers_kill(f);
	for (size_t i = 0; i < f->n; i++)
		if (is_of(&f->made[i], "shared")) {
			note_close(&f->made[i], from);
			f->made[i].by_exit = true;
		}
}

static struct made *queued_from(struct fix *f, const struct tcp_addr *peer)
{
	for (size_t i = 0; i < f->n; i++)
		if (is_of(&f->made[i], "not-accepted") && f->made[i].peer.port == peer->port)
			return &f->made[i];
	return NULL;
}

static void accept_and_close(struct fix *f, int listener)
{
	int fd = accept_from(listener);
	int64_t from = wall_ns();
	struct tcp_addr peer;
	struct made *m;

	addr_of(fd, &peer, getpeername);
	m = queued_from(f, &peer);
	close(fd);
	if (!m)
		die("an end that was queued");
	note_close(m, from);
}

static void close_queued(struct fix *f)
{
	for (size_t i = 1; i < f->n_listeners; i++)
		for (; f->listeners[i].queued; f->listeners[i].queued--)
			accept_and_close(f, f->listeners[i].fd);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Those in messages and in a ring, which the kernel lets go in its own time. */
static void close_hidden(struct fix *f)
{
	int64_t from = wall_ns();

	close_fd(&f->post[0]);
	close_fd(&f->post[1]);
	close_fd(&f->ring);
	for (size_t i = 0; i < f->n; i++)
		if (is_of(&f->made[i], "no-descriptor"))
			f->made[i].closed.from = from;
}

/* What is known once nothing is left of it. */
static void note_gone(struct made *m)
{
	bool dead = is_of(m, "dead") || m->died.to;

	m->gone = (struct span){ m->closed.from, dead ? m->closed.to : wall_ns() };
	if (!m->closed.to)
		m->closed.to = m->gone.to;
	if (dead || m->resets)
		m->closed = (struct span){ 0 };
}

static void await_gone(struct fix *f)
{
	int64_t end = clock_mono_ns() + GONE_S * CLOCK_NS_PER_S;
	bool left = true;

	while (left) {
		left = false;
		for (size_t i = 0; i < f->n; i++) {
			struct made *m = &f->made[i];

			if (!is_released(m) || m->gone.to)
				continue;
			if (is_gone(f, m))
				note_gone(m);
			else
				left = true;
		}
		if (clock_mono_ns() > end) {
			errno = ETIMEDOUT;
			die("the end of a connection");
		}
		pause_us();
	}
}

void release(struct fix *f)
{
	f->n_pump = 0; /* they are closed, too */
	close_own(f);
	close_shared(f);
	close_queued(f);
	close_hidden(f);
	await_gone(f);
	for (size_t i = 0; i < f->n; i++)
		if (is_released(&f->made[i]))
			print_one(f, &f->made[i]);
	printf("released\n");
	fflush(stdout);
}

/* Each client end that the keeper keeps comes after its server end. */
void reset(struct fix *f)
{
	for (size_t i = 1; i < f->n; i++) {
		struct made *c = &f->made[i], *s = c - 1;

		if (!is_of(c, "half-closed-here") || s->state != TCPS_CLOSE_WAIT || s->fd < 0)
			continue;
		s->died.from = wall_ns();
		keep_no_more(f, c, KEEP_RESET);
		await_state(s->fd, TCPS_CLOSE);
		s->died.to = wall_ns();
		print_one(f, s);
	}
	printf("reset\n");
	fflush(stdout);
}
