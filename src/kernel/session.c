/* SPDX-License-Identifier: MIT */
#include "kernel/session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"

/* Reads one decimal number, possibly negative, up to a space or the end. */
static const char *take_number(const char *p, const char *end, int32_t *out)
{
	int64_t v = 0;
	bool minus = p && p < end && *p == '-';

	if (!p)
		return NULL;
	p += minus;
	if (p == end || *p < '0' || *p > '9')
		return NULL;
	for (; p < end && *p >= '0' && *p <= '9'; p++) {
		v = v * 10 + (*p - '0');
		if (v > INT32_MAX)
			return NULL;
	}
	if (p < end && *p != ' ' && *p != '\n')
		return NULL;
	*out = (int32_t)(minus ? -v : v);
	return p < end ? p + 1 : p;
}

int session_decode_stat(const char *text, size_t len, struct session_stat *out)
{
	const char *end = text + len, *p = len ? memrchr(text, ')', len) : NULL;
	struct session_stat s = { 0 };
	int32_t group;

	/* ") S 1 2 3 4": state, parent, process group, session, terminal */
	if (!p || end - p < 4 || p[1] != ' ' || p[3] != ' ')
		return -EBADMSG;
	p = take_number(p + 4, end, &s.parent);
	p = take_number(p, end, &group);
	p = take_number(p, end, &s.session);
	p = take_number(p, end, &s.tty);
	if (!p)
		return -EBADMSG;
	*out = s;
	return 0;
}

static int take_addr(char **rest, struct tcp_addr *out)
{
	char *host = strsep(rest, " "), *port = strsep(rest, " ");
	struct tcp_addr a = { 0 };
	uint16_t n;

	if (!host || !port || tcp_addr_parse_host(&a, host) < 0 || num_port(port, &n) < 0)
		return -EBADMSG;
	a.port = n;
	*out = a;
	return 0;
}

int session_decode_ssh(const char *text, struct tcp_addr *client, struct tcp_addr *server)
{
	char copy[256], *rest = copy;
	struct tcp_addr c, s;

	if (strlen(text) >= sizeof(copy))
		return -EBADMSG;
	memcpy(copy, text, strlen(text) + 1);
	if (take_addr(&rest, &c) < 0 || take_addr(&rest, &s) < 0 || rest)
		return -EBADMSG;
	*client = c;
	*server = s;
	return 0;
}

static int read_stat(uint32_t pid, struct session_stat *out)
{
	char path[32], text[1024];
	_fd_ int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	n = fd_read_all(fd, text, sizeof(text));
	if (n < 0)
		return (int)n;
	return session_decode_stat(text, (size_t)n, out);
}

static bool known(const struct session *s, int32_t session)
{
	for (uint32_t i = 0; i < s->n_sessions; i++)
		if (s->sessions[i] == session)
			return true;
	return false;
}

static void add_session(struct session *s, int32_t session)
{
	if (!known(s, session) && s->n_sessions < SESSION_DEPTH)
		s->sessions[s->n_sessions++] = session;
}

int session_read(struct session *out, const char *ssh_connection, struct err *e)
{
	struct session s = { .self = (uint32_t)getpid() };
	struct session_stat stat = { 0 };
	int r = read_stat(s.self, &stat);

	if (r < 0)
		return err_errno(e, r, "reading /proc/%u/stat: is /proc mounted?", s.self);
	add_session(&s, stat.session);
	while (stat.parent > 0) {
		uint32_t parent = (uint32_t)stat.parent;

		if (s.n_ancestors == SESSION_DEPTH)
			return err_set(e, -ELOOP,
				       "more than %d ancestors: whose session this is "
				       "cannot be told",
				       SESSION_DEPTH);
		s.ancestors[s.n_ancestors++] = parent;
		r = read_stat(parent, &stat);
		if (r < 0)
			return err_errno(e, r, "reading /proc/%u/stat, an ancestor's", parent);
		if (stat.tty)
			add_session(&s, stat.session);
	}
	s.remote = ssh_connection && session_decode_ssh(ssh_connection, &s.client, &s.server) == 0;
	*out = s;
	return 0;
}

int session_kin(const struct session *s, uint32_t pid)
{
	struct session_stat stat = { 0 };
	int r;

	if (pid == 1)
		return SESSION_INIT;
	if (pid == s->self)
		return SESSION_SELF;
	for (uint32_t i = 0; i < s->n_ancestors; i++)
		if (s->ancestors[i] == pid)
			return SESSION_ANCESTOR;
	r = read_stat(pid, &stat);
	if (r < 0)
		return r;
	return known(s, stat.session) ? SESSION_SAME : SESSION_STRANGER;
}

bool session_is_remote(const struct session *s, const struct tcp_addr *a, const struct tcp_addr *b)
{
	struct tcp_addr pa = tcp_addr_plain(a), pb = tcp_addr_plain(b),
			c = tcp_addr_plain(&s->client), srv = tcp_addr_plain(&s->server);

	if (!s->remote)
		return false;
	return (tcp_addr_equal(&pa, &c) && tcp_addr_equal(&pb, &srv)) ||
	       (tcp_addr_equal(&pa, &srv) && tcp_addr_equal(&pb, &c));
}
