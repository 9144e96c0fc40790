/* SPDX-License-Identifier: MIT */
/* Who holds the ends: the keeper, the sharers, messages in flight, a ring; and the scale run. */
#include "mkcause.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

#define SCALE_LISTENER 4000
#define POST_EACH      200 /* descriptors a message; the kernel takes 253 (SCM_MAX_FD) */

static int send_fds(int to, const void *data, size_t len, const int *fds, size_t n)
{
	char space[CMSG_SPACE(sizeof(int) * POST_EACH)] __attribute__((aligned(8))) = { 0 };
	struct iovec iov = { (void *)data, len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = space,
			      .msg_controllen = CMSG_SPACE(sizeof(int) * n) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * n);
	memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
	return sendmsg(to, &msg, 0) == (ssize_t)len ? 0 : -errno;
}

/* What the keeper is asked. */
struct request {
	enum keep how;
	int fd; /* to close: its own; else one comes along */
};

/* One descriptor and what to do with it. Returns -1 at the end. */
static int recv_fd(int from, enum keep *how)
{
	char space[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	struct request asked;
	struct iovec iov = { &asked, sizeof(asked) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = space,
			      .msg_controllen = sizeof(space) };
	int fd;

	if (recvmsg(from, &msg, MSG_CMSG_CLOEXEC) != sizeof(asked))
		return -1;
	*how = asked.how;
	if (asked.how == KEEP_NO_MORE || asked.how == KEEP_RESET)
		return asked.fd;
	if (!CMSG_FIRSTHDR(&msg))
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

/* A close that leaves neither TIME_WAIT nor an orphan behind. */
static void close_with_reset(int fd)
{
	struct linger reset = { 1, 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
}

static void keeper_run(int control)
{
	int ep = epoll_create1(EPOLL_CLOEXEC), top = control;
	char data[4096];
	enum keep how;

	prctl(PR_SET_NAME, "mkcause-keeper");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGINT, SIG_IGN);
	if (ep < 0 ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, control, &(struct epoll_event){ .events = EPOLLIN }))
		die("epoll");
	for (;;) {
		struct epoll_event ev;
		ssize_t n;
		int fd;

		if (epoll_wait(ep, &ev, 1, -1) < 1)
			continue;
		if (ev.data.u64) { /* (fd << 8 | how) */
			fd = (int)(ev.data.u64 >> 8);
			n = recv(fd, data, sizeof(data), MSG_DONTWAIT);
			if (n > 0 && (ev.data.u64 & 0xff) == KEEP_ECHO)
				send(fd, data, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
			continue;
		}
		fd = recv_fd(control, &how);
		if (fd < 0)
			break;
		top = fd > top ? fd : top;
		if (how == KEEP_NO_MORE)
			close(fd);
		if (how == KEEP_RESET)
			close_with_reset(fd);
		ev = (struct epoll_event){ EPOLLIN, { .u64 = (uint64_t)fd << 8 | (uint8_t)how } };
		if ((how == KEEP_ECHO || how == KEEP_READING) &&
		    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0)
			die("epoll_ctl");
		if (send(control, &fd, sizeof(fd), 0) != sizeof(fd))
			die("the keeper's answer");
	}
	for (int fd = 3; fd <= top; fd++)
		close_with_reset(fd);
	_exit(0);
}

void keeper_start(struct fix *f)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		die("socketpair");
	f->keeper = fork();
	if (f->keeper < 0)
		die("fork");
	if (f->keeper == 0) {
		close(ends[0]);
		keeper_run(ends[1]);
	}
	close(ends[1]);
	f->keeper_fd = ends[0];
}

void keep(struct fix *f, struct made *m, enum keep how)
{
	struct request asked = { how, -1 };
	int there;

	if (send_fds(f->keeper_fd, &asked, sizeof(asked), &m->fd, 1) < 0 ||
	    recv(f->keeper_fd, &there, sizeof(there), 0) != sizeof(there))
		die("handing a socket to the keeper");
	close(m->fd);
	m->fd = -1;
	m->holders[0] = (struct holder){ f->keeper, there, "mkcause-keeper" };
}

void keep_no_more(struct fix *f, struct made *m, enum keep how)
{
	struct request asked = { how, m->holders[0].fd };
	int there;

	if (send(f->keeper_fd, &asked, sizeof(asked), 0) != sizeof(asked) ||
	    recv(f->keeper_fd, &there, sizeof(there), 0) != sizeof(there))
		die("having the keeper close a socket");
	m->n_holders = 0;
}

/* Sends the `message` ends into a Unix socket that nobody reads, and gives the others to a ring. */
void post_descriptors(struct fix *f)
{
	int *post = need(calloc(f->n + 1, sizeof(*post)));
	int *ring = need(calloc(f->n + 1, sizeof(*ring)));
	size_t n_post = 0, n_ring = 0;
	int room = 1 << 20;

	for (size_t i = 0; i < f->n; i++) {
		struct made *m = &f->made[i];

		if (strcmp(m->cause, "no-descriptor"))
			continue;
		if (!strcmp(m->variant, "io_uring"))
			ring[n_ring++] = m->fd;
		else
			post[n_post++] = m->fd;
	}
	if (n_post) {
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, f->post) < 0)
			die("socketpair");
		setsockopt(f->post[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	}
	for (size_t i = 0; i < n_post; i += POST_EACH) {
		size_t n = n_post - i < POST_EACH ? n_post - i : POST_EACH;

		if (send_fds(f->post[0], "x", 1, post + i, n) < 0)
			die("sending descriptors");
	}
	if (n_ring)
		ring_take(f, ring, (unsigned)n_ring);
	for (size_t i = 0; i < f->n; i++) {
		struct made *m = &f->made[i];

		if (!strcmp(m->cause, "no-descriptor")) {
			close(m->fd);
			m->fd = -1;
			m->n_holders = 0;
		}
	}
	free(post);
	free(ring);
}

void ring_take(struct fix *f, int *fds, unsigned n)
{
	struct io_uring_params p = { 0 };

	f->ring = (int)syscall(SYS_io_uring_setup, 1, &p);
	if (f->ring < 0)
		die("io_uring_setup");
	if (syscall(SYS_io_uring_register, f->ring, IORING_REGISTER_FILES, fds, n) < 0)
		die("IORING_REGISTER_FILES");
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Keeps stderr and `fds`, closes all else and waits to be killed. */
static void sharer_run(int *fds, size_t n, int ready)
{
	int from = 3;

	prctl(PR_SET_NAME, "mkcause-sharer");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fds[n++] = ready;
	qsort(fds, n, sizeof(*fds), by_number);
	for (size_t i = 0; i < n; i++) {
		if (fds[i] > from)
			close_range((unsigned)from, (unsigned)fds[i] - 1, 0);
		from = fds[i] + 1;
	}
	close_range((unsigned)from, ~0u, 0);
	close(0);
	close(1);
	if (write(ready, "r", 1) != 1)
		_exit(1);
	close(ready);
	for (;;)
		pause();
}

static pid_t sharer_start(const int *fds, size_t n)
{
	int ready[2], *own = need(malloc((n + 1) * sizeof(*own)));
	pid_t pid;
	char byte;

	memcpy(own, fds, n * sizeof(*own));
	if (pipe(ready) < 0)
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		close(ready[0]);
		sharer_run(own, n, ready[1]);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		die("a sharer");
	close(ready[0]);
	free(own);
	return pid;
}

void sharers_start(struct fix *f)
{
	int *all = need(calloc(f->n + 1, sizeof(*all))),
	    *less = need(calloc(f->n + 1, sizeof(*less)));
	size_t n_all = 0, n_less = 0;
	pid_t one, two;

	for (size_t i = 0; i < f->n; i++) {
		const struct made *m = &f->made[i];

		if (strcmp(m->cause, "shared"))
			continue;
		all[n_all++] = m->fd;
		if (strcmp(m->variant, "child let go"))
			less[n_less++] = m->fd;
	}
	if (!n_all)
		goto out;
	f->sharers[0] = one = sharer_start(all, n_all);
	f->sharers[1] = two = sharer_start(less, n_less);
	for (size_t i = 0; i < f->n; i++) {
		struct made *m = &f->made[i];
		int fd = m->fd;

		if (strcmp(m->cause, "shared"))
			continue;
		m->holders[m->n_holders++] = (struct holder){ one, fd, "mkcause-sharer" };
		if (!strcmp(m->variant, "child let go")) {
			m->let_go = two;
			continue;
		}
		m->holders[m->n_holders++] = (struct holder){ two, fd, "mkcause-sharer" };
		if (!strcmp(m->variant, "parent let go")) {
			close(fd);
			m->fd = -1;
			m->let_go = getpid();
			m->holders[0] = m->holders[--m->n_holders];
		}
	}
out:
	free(all);
	free(less);
}

/* One round of traffic on the busy ends. */
void pump(struct fix *f)
{
	char data[4096];

	for (size_t i = 0; i < f->n_pump; i++) {
		while (recv(f->pump[i], data, sizeof(data), MSG_DONTWAIT) > 0)
			;
		if (send(f->pump[i], data, 64, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
		    errno != EAGAIN && errno != EPIPE && errno != ECONNRESET)
			die("traffic");
	}
}

/* The same, while other things are done, where the time for it has come. */
void pump_in_time(struct fix *f)
{
	int64_t now = clock_mono_ns();

	if (now < f->next_pump)
		return;
	f->next_pump = now + PUMP_MS * CLOCK_NS_PER_MS;
	pump(f);
}

void sharers_kill(struct fix *f)
{
	for (int i = 0; i < 2; i++) {
		if (f->sharers[i] <= 0)
			continue;
		kill(f->sharers[i], SIGKILL);
		waitpid(f->sharers[i], NULL, 0);
		f->sharers[i] = 0;
	}
}

void stop(struct fix *f)
{
	sharers_kill(f);
	for (size_t i = 0; i < f->n; i++)
		if (f->made[i].fd >= 0)
			close_with_reset(f->made[i].fd);
	close(f->keeper_fd);
	waitpid(f->keeper, NULL, 0);
	free(f->made);
	free(f->pump);
	free(f->listeners);
}

/* `each` ends in CLOSE_WAIT, the clients' ends closed; prints one line of what was made. A listener
 * serves SCALE_LISTENER of them: connect() is slow once half of the ports to one address are in
 * use. Returns the descriptors in [*first, *last]. */
static void scale_make(struct fix *f, unsigned each, int *first, int *last)
{
	struct tcp_addr addr;
	struct buf line = { 0 };
	char text[TCP_ADDR_TEXT];
	int l = -1;

	buf_printf(
		&line,
		"{\"pid\":%d,\"count\":%u,\"state\":\"CLOSE_WAIT\",\"cause\":\"unread\",\"local\":[",
		getpid(), each);
	for (unsigned i = 0; i < each; i++) {
		int c;

		if (i % SCALE_LISTENER == 0) {
			if (l >= 0)
				close(l);
			l = listen_on(f, 128, &addr);
			buf_printf(&line, "%s\"%s\"", i ? "," : "", tcp_addr_text(&addr, text));
		}
		c = connect_to(f, &addr, 0);
		*last = accept4(l, NULL, NULL, SOCK_CLOEXEC);
		if (*last < 0)
			die("accept");
		if (*first < 0)
			*first = *last;
		close(c);
	}
	buf_str(&line, "]}\n");
	if (line.failed || write(1, line.data, line.len) != (ssize_t)line.len)
		_exit(1);
	buf_free(&line);
}

static void scale_one(struct fix *f, unsigned each, int ready)
{
	int first = -1, last = -1;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	scale_make(f, each, &first, &last);
	if (write(ready, "r", 1) != 1)
		_exit(1);
	close(ready);
	sigsuspend(&(sigset_t){ 0 });
	for (int fd = first; fd >= 0 && fd <= last; fd++)
		close_with_reset(fd);
	_exit(0);
}

static void on_term(int sig)
{
}

static void set_sysctl(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t len = (ssize_t)strlen(value);

	if (fd < 0 || write(fd, value, (size_t)len) != len)
		die(path);
	close(fd);
}

/* Whether a socket of this namespace waits for the ACK of its FIN. Source: proc_net_tcp.rst, "st".
 */
static bool any_in_fin_wait_1(const char *path)
{
	FILE *file = need(fopen(path, "re"));
	char line[256], state[3];
	bool found = false;

	while (!found && fgets(line, sizeof(line), file))
		found = sscanf(line, " %*[^:]: %*s %*s %2s", state) == 1 &&
			strcmp(state, "04") == 0;
	fclose(file);
	return found;
}

/* An orphan whose timer runs in FIN_WAIT_2 sends a RST at its end where tcp_fin_timeout is 60 s,
 * its default, or less (tcp_keepalive_timer()): the end that is to stay in CLOSE_WAIT is dead then.
 * Mostly it is a time-wait entry at once, which ends in silence; one in ten thousand is not. Not
 * before all are made: what is left of the 60 s keeps their ports from being taken again. */
static void no_late_resets(void)
{
	/* An ACK may be late: what comes into FIN_WAIT_2 only now would go by the new value. */
	while (any_in_fin_wait_1("/proc/net/tcp") || any_in_fin_wait_1("/proc/net/tcp6"))
		poll(NULL, 0, 5);
	set_sysctl("/proc/sys/net/ipv4/tcp_fin_timeout", "61");
}

void scale(struct fix *f, unsigned procs, unsigned each)
{
	pid_t *pids = need(calloc(procs, sizeof(*pids)));
	int ready[2];
	char byte;
	sigset_t term, old;

	/* The closers' ends are time-wait entries to the kernel. One too many would be a reset. */
	if (f->own_netns)
		set_sysctl("/proc/sys/net/ipv4/tcp_max_tw_buckets", "1000000");
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, &old);
	signal(SIGTERM, on_term);
	if (pipe(ready) < 0)
		die("pipe");
	for (unsigned i = 0; i < procs; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			die("fork");
		if (pids[i] == 0) {
			close(ready[0]);
			scale_one(f, each, ready[1]);
		}
	}
	close(ready[1]);
	for (unsigned i = 0; i < procs; i++)
		if (read(ready[0], &byte, 1) != 1)
			die("a process of the scale run");
	if (f->own_netns)
		no_late_resets();
	printf("ready\n");
	fflush(stdout);
	while (ppoll(&(struct pollfd){ 0, POLLIN, 0 }, 1, NULL, &old) > 0 && read(0, &byte, 1) > 0)
		;
	for (unsigned i = 0; i < procs; i++)
		kill(pids[i], SIGTERM);
	for (unsigned i = 0; i < procs; i++)
		waitpid(pids[i], NULL, 0);
	free(pids);
}
