/* SPDX-License-Identifier: MIT */
#include "daytime/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

void log_open(struct log *l, int fd, const char *prefix)
{
	struct stat st;
	char path[32];

	*l = (struct log){ .fd = fd };
	snprintf(l->prefix, sizeof(l->prefix), "%s", prefix);
	l->prefix_len = strlen(l->prefix);
	if (fstat(fd, &st) < 0)
		return; /* closed: every line will be lost, and counted */
	if (S_ISSOCK(st.st_mode)) {
		l->socket = true;
		return;
	}
	l->pipe = S_ISFIFO(st.st_mode);
	l->file = S_ISREG(st.st_mode) || S_ISBLK(st.st_mode);
	if (l->file)
		return; /* an offset of our own would overwrite what others write there */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fd = open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0) {
		l->polled = true;
		return;
	}
	l->fd = fd;
	l->owned = true;
}

void log_close(struct log *l)
{
	log_flush(l);
	if (l->owned)
		close(l->fd);
	l->owned = false;
	l->fd = -1;
}

void log_redirect(struct log *l, int socket)
{
	if (l->owned)
		close(l->fd);
	l->fd = socket;
	l->owned = l->socket = true;
	l->polled = l->pipe = false;
}

uint64_t log_lost(const struct log *l)
{
	return l->lost + (l->writer_lost ? *l->writer_lost : 0);
}

/* How much of the data is whole lines of at most `most` bytes together; where no line is so short,
 * `most`. */
static size_t whole_lines(const char *data, size_t len, size_t most)
{
	const char *end;

	if (len <= most)
		return len;
	end = memrchr(data, '\n', most);
	return end ? (size_t)(end - data) + 1 : most;
}

static ssize_t hand_on(struct log *l, const char *data, size_t len)
{
	struct pollfd p = { .fd = l->fd, .events = POLLOUT };

	if (l->socket)
		return send(l->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (l->polled) {
		/* A pipe that polls writable takes PIPE_BUF bytes without blocking: pipe(7). */
		if (poll(&p, 1, 0) <= 0 || !(p.revents & POLLOUT)) {
			errno = EAGAIN;
			return -1;
		}
		len = whole_lines(data, len, LOG_LINE);
	} else if (l->pipe) {
		len = whole_lines(data, len, PIPE_BUF); /* pipe(7): never torn by another's */
	}
	return write(l->fd, data, len);
}

/* Counts the lines that wait as lost and forgets them. */
static void drop_waiting(struct log *l)
{
	for (size_t i = 0; i < l->len; i++)
		l->lost += l->data[l->start + i] == '\n';
	l->start = l->len = 0;
}

bool log_flush(struct log *l)
{
	while (l->len > 0) {
		ssize_t n = hand_on(l, l->data + l->start, l->len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n < 0) { /* a full disk, a closed pipe */
			drop_waiting(l);
			return false;
		}
		l->start += (size_t)n;
		l->len -= (size_t)n;
	}
	l->start = 0;
	return false;
}

void log_end(struct log *l)
{
	if (log_flush(l))
		drop_waiting(l);
}

/* Adds a line's bytes; false where it does not fit beside those that wait. */
static bool put(struct log *l, const char *line, size_t len)
{
	if (len > LOG_CAP - l->len)
		return false;
	if (l->start + l->len + len > LOG_CAP) {
		memmove(l->data, l->data + l->start, l->len);
		l->start = 0;
	}
	memcpy(l->data + l->start + l->len, line, len);
	l->len += len;
	return true;
}

/* Says how many lines were lost, as soon as the buffer has room for more than that. */
static void tell_lost(struct log *l)
{
	char line[LOG_LINE];
	int n;

	if (l->lost == l->lost_told || l->len > LOG_CAP / 2)
		return;
	n = snprintf(line, sizeof(line), "%s%llu log lines lost\n", l->prefix,
		     (unsigned long long)(l->lost - l->lost_told));
	if (put(l, line, (size_t)n))
		l->lost_told = l->lost;
}

/* Adds a whole line: prefix, text and newline are in it. */
static void add(struct log *l, const char *line, size_t len)
{
	tell_lost(l);
	if (put(l, line, len))
		return;
	log_flush(l);
	tell_lost(l);
	if (!put(l, line, len))
		l->lost++;
}

void log_add(struct log *l, const char *text, size_t len)
{
	char line[LOG_LINE];
	size_t most = sizeof(line) - l->prefix_len - 1;

	if (len > most)
		len = most;
	memcpy(line, l->prefix, l->prefix_len);
	memcpy(line + l->prefix_len, text, len);
	line[l->prefix_len + len] = '\n';
	add(l, line, l->prefix_len + len + 1);
}

void log_line(struct log *l, const char *fmt, ...)
{
	char text[LOG_LINE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_add(l, text, strlen(text));
	log_flush(l);
}
