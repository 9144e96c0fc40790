/* SPDX-License-Identifier: MIT */
/* churn: the adversary of the race tests. Descriptors with fixed numbers, behind which sockets
 * change all the time: half-closed ones, that ask to be released, give way to healthy ones under
 * the same number, to other half-closed ones, are dissolved and connected anew, or are shut down by
 * their own process. When a socket is retired, churn looks whether somebody else has put an end to
 * it, and at the end prints one JSON line for each that was: {"kind", "cookie", "local", "peer"},
 * and a last one that counts what it did. What was healthy must never be among them.
 *
 *   churn SLOTS THREADS   runs until its standard input ends; prints "ready" once all slots are
 * filled */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 16

enum kind {
	HALF_CLOSED,
	HEALTHY,
	RECONNECTED, /* healthy too, with the cookie of a half-closed one */
	OWN_DOING,   /* ended by churn itself */
};

struct slot {
	int fd, other; /* the end that may be released; the other end, -1: closed */
	enum kind kind;
	uint64_t cookie;
	struct sockaddr_in local, peer;
};

struct worker {
	pthread_t thread;
	struct slot *slots;
	unsigned n;
	int listener;
	uint64_t random;
	unsigned long made[4], disturbed;
	FILE *log;
	char *text;
	size_t text_len;
};

static atomic_bool stopping;

static void die(const char *what)
{
	perror(what);
	_exit(1);
}

static uint64_t next_random(struct worker *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random;
}

static int listen_here(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 128) < 0)
		die("listen");
	return fd;
}

static void address_of(int listener, struct sockaddr_in *a)
{
	socklen_t len = sizeof(*a);

	if (getsockname(listener, (struct sockaddr *)a, &len) < 0)
		die("getsockname");
}

/* So that a close sends a RST: no TIME_WAIT entries pile up. */
static void reset_at_close(int fd)
{
	struct linger l = { 1, 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

static int state_of(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		die("TCP_INFO");
	return info.tcpi_state;
}

static void note(struct slot *s, int fd)
{
	socklen_t len = sizeof(s->cookie), al = sizeof(s->local), pl = sizeof(s->peer);

	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &s->cookie, &len) < 0 ||
	    getsockname(fd, (struct sockaddr *)&s->local, &al) < 0)
		die("what a socket is");
	/* It may have been reset already, and then has no peer to tell. */
	if (getpeername(fd, (struct sockaddr *)&s->peer, &pl) < 0)
		memset(&s->peer, 0, sizeof(s->peer));
}

static void wait_for_state(int fd, int state)
{
	for (int i = 0; i < 10000 && state_of(fd) != state; i++)
		sched_yield();
}

/* A pair whose end `*fd` is in CLOSE_WAIT or healthy. */
static void make_pair(struct worker *w, struct slot *s, enum kind kind, int *fd)
{
	struct sockaddr_in a;
	int c = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address_of(w->listener, &a);
	if (c < 0 || connect(c, (struct sockaddr *)&a, sizeof(a)) < 0)
		die("connect");
	*fd = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC);
	if (*fd < 0)
		die("accept");
	reset_at_close(c);
	reset_at_close(*fd);
	s->other = c;
	s->kind = kind;
	note(s, *fd);
	w->made[kind]++;
	if (kind == HALF_CLOSED) {
		shutdown(c, SHUT_WR);
		wait_for_state(*fd, TCP_CLOSE_WAIT);
	}
}

static void report(struct worker *w, const struct slot *s, int state)
{
	static const char *const kinds[] = { "half-closed", "healthy", "reconnected" };
	char local[INET_ADDRSTRLEN], peer[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &s->local.sin_addr, local, sizeof(local));
	inet_ntop(AF_INET, &s->peer.sin_addr, peer, sizeof(peer));
	fprintf(w->log,
		"{\"kind\":\"%s\",\"state\":%d,\"cookie\":%llu,\"local\":\"%s:%u\",\"peer\":\"%s:%u\"}"
		"\n",
		kinds[s->kind], state, (unsigned long long)s->cookie, local,
		ntohs(s->local.sin_port), peer, ntohs(s->peer.sin_port));
	w->disturbed++;
}

/* Whether somebody else has put an end to the socket behind `fd`. */
static void look(struct worker *w, const struct slot *s, int fd)
{
	int state = s->kind == OWN_DOING ? 0 : state_of(fd);

	if ((s->kind == HALF_CLOSED && state != TCP_CLOSE_WAIT) ||
	    ((s->kind == HEALTHY || s->kind == RECONNECTED) && state != TCP_ESTABLISHED))
		report(w, s, state);
}

/* Another socket under the same number, in one step; then a look at the old one, pinned by a copy.
 */
static void replace(struct worker *w, struct slot *s, enum kind kind)
{
	struct slot old = *s;
	int pinned = dup(s->fd), fresh;

	make_pair(w, s, kind, &fresh);
	if (pinned < 0 || dup2(fresh, s->fd) < 0)
		die("dup2");
	close(fresh);
	look(w, &old, pinned);
	close(pinned);
	close(old.other);
}

static void reconnect(struct worker *w, struct slot *s)
{
	struct sockaddr unspec = { .sa_family = AF_UNSPEC };
	struct sockaddr_in a;

	look(w, s, s->fd);
	address_of(w->listener, &a);
	s->kind = OWN_DOING;
	if (connect(s->fd, &unspec, sizeof(unspec)) < 0 ||
	    connect(s->fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return; /* it was being reset: the next round replaces it */
	close(s->other);
	s->other = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC);
	if (s->other < 0)
		die("accept");
	reset_at_close(s->other);
	note(s, s->fd);
	s->kind = RECONNECTED;
	w->made[RECONNECTED]++;
}

static void one_step(struct worker *w)
{
	uint64_t r = next_random(w);
	struct slot *s = &w->slots[(r >> 8) % w->n];
	unsigned choice = (r >> 40) % 100;

	if (s->kind == HALF_CLOSED && choice < 25) {
		reconnect(w, s);
	} else if (s->kind == HALF_CLOSED && choice < 30) {
		look(w, s, s->fd);
		s->kind = OWN_DOING;
		shutdown(s->fd, SHUT_RDWR);
		w->made[OWN_DOING]++;
	} else {
		replace(w, s, choice < 75 ? HALF_CLOSED : HEALTHY);
	}
	/* Not synchronisation but the adversary's own pace: without it nothing stays long enough to
	 * be released, and every look comes too late. */
	if (((r >> 48) & 31) == 0) {
		struct timespec t = { .tv_nsec = (long)(r >> 32) % 3000000 };

		nanosleep(&t, NULL);
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;

	while (!atomic_load(&stopping))
		one_step(w);
	return NULL;
}

static void start(struct worker *w, unsigned n, unsigned seed)
{
	w->n = n;
	w->slots = calloc(n, sizeof(*w->slots));
	w->listener = listen_here();
	w->random = 0x9e3779b97f4a7c15u * (seed + 1);
	w->log = open_memstream(&w->text, &w->text_len);
	if (!w->slots || !w->log)
		die("memory");
	for (unsigned i = 0; i < n; i++)
		make_pair(w, &w->slots[i], HALF_CLOSED, &w->slots[i].fd);
}

int main(int argc, char **argv)
{
	unsigned slots = argc > 1 ? (unsigned)atoi(argv[1]) : 100;
	unsigned threads = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
	static struct worker workers[THREADS_MAX];
	unsigned long made[4] = { 0 }, disturbed = 0;
	char byte;

	if (!slots || !threads || threads > THREADS_MAX)
		return 2;
	for (unsigned i = 0; i < threads; i++)
		start(&workers[i], slots / threads, i);
	printf("ready\n");
	fflush(stdout);
	for (unsigned i = 0; i < threads; i++)
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			die("pthread_create");
	while (read(0, &byte, 1) > 0)
		;
	atomic_store(&stopping, true);
	for (unsigned i = 0; i < threads; i++) {
		struct worker *w = &workers[i];

		pthread_join(w->thread, NULL);
		for (unsigned k = 0; k < w->n; k++)
			look(w, &w->slots[k], w->slots[k].fd);
		for (unsigned k = 0; k < 4; k++)
			made[k] += w->made[k];
		disturbed += w->disturbed;
		fclose(w->log);
		fwrite(w->text, 1, w->text_len, stdout);
		free(w->text);
		free(w->slots);
	}
	printf("{\"half_closed\":%lu,\"healthy\":%lu,\"reconnected\":%lu,\"own\":%lu,\"disturbed\":%lu}\n",
	       made[0], made[1], made[2], made[3], disturbed);
	return 0;
}
