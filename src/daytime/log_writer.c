/* SPDX-License-Identifier: MIT */
#include "daytime/log_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "daytime/confine.h"

#define FROM_SERVICE 0 /* the writer's descriptors */
#define TO_FILE      1
#define THE_END      '\0' /* in no line: the service has said all */

/* Says that lines were lost, as soon as the file takes one again. */
static void tell_lost(uint64_t lost, uint64_t *told)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "%llu log lines lost\n",
			 (unsigned long long)(lost - *told));

	if (lost > *told && fd_write_all(TO_FILE, line, (size_t)n) == 0)
		*told = lost;
}

static void write_lines(const char *data, size_t len, _Atomic uint64_t *lost, uint64_t *told)
{
	if (len == 0)
		return;
	tell_lost(*lost, told);
	if (fd_write_all(TO_FILE, data, len) == 0)
		return;
	for (size_t i = 0; i < len; i++) /* some of these may have been written */
		*lost += data[i] == '\n';
}

/* What the writer does, to its end. */
static int write_all(_Atomic uint64_t *lost)
{
	static char data[65536];
	uint64_t told = 0;

	for (;;) {
		ssize_t n = read(FROM_SERVICE, data, sizeof(data));
		bool end = n > 0 && data[n - 1] == THE_END;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return 0;
		write_lines(data, (size_t)(n - end), lost, &told);
		if (end)
			return 0;
	}
}

/* Keeps the pair and the file, and nothing that would hold a port. */
static int keep_two(int from, int file)
{
	from = fcntl(from, F_DUPFD_CLOEXEC, TO_FILE + 1); /* neither in the way of the other */
	file = fcntl(file, F_DUPFD_CLOEXEC, TO_FILE + 1);
	if (from < 0 || file < 0 || dup2(from, FROM_SERVICE) < 0 || dup2(file, TO_FILE) < 0)
		return -errno;
	return close_range(TO_FILE + 1, ~0U, 0) < 0 ? -errno : 0;
}

static int writer(int from, int file, bool kill, _Atomic uint64_t *lost)
{
	static const int passed_over[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE };
	struct err e = { 0 };

	for (size_t i = 0; i < sizeof(passed_over) / sizeof(passed_over[0]); i++)
		signal(passed_over[i], SIG_IGN);
	prctl(PR_SET_NAME, "daytimed-log"); /* for ps(1) */
	if (keep_two(from, file) < 0 || confine_syscalls(CONFINE_WRITER, kill, &e) < 0)
		return 3;
	return write_all(lost);
}

int log_writer_start(struct log *l, bool kill, struct err *e)
{
	_fd_ int ours = -1, theirs = -1;
	int ends[2], file = l->fd;
	pid_t pid;

	if (!l->file)
		return 0;
	l->writer_lost = mmap(NULL, sizeof(*l->writer_lost), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (l->writer_lost == MAP_FAILED) {
		l->writer_lost = NULL;
		return err_errno(e, -errno, "no memory for the log's writer");
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return err_errno(e, -errno, "socketpair for the log's writer");
	ours = ends[0];
	theirs = ends[1];
	pid = fork();
	if (pid < 0)
		return err_errno(e, -errno, "cannot start the log's writer");
	if (pid == 0)
		exit(writer(theirs, file, kill, l->writer_lost));
	log_redirect(l, fd_take(&ours));
	return 0;
}

void log_writer_end(struct log *l, int ms)
{
	struct pollfd p = { .fd = l->fd, .events = POLLOUT };

	if (!l->writer_lost)
		return;
	while (log_flush(l) && poll(&p, 1, ms) > 0)
		continue;
	if (l->len > 0 || send(l->fd, &(char){ THE_END }, 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 1)
		return;
	p.events = 0; /* POLLHUP: it has ended */
	poll(&p, 1, ms);
}
