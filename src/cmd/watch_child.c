/* SPDX-License-Identifier: MIT */
/* The program of `unclosed watch -- CMD`: it must exist before it may run, so that the kernel knows
 * whom to watch when it makes its first socket. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "base/fd.h"
#include "cmd/watch.h"

static void be_child(const struct watch_child *c, int go, int failed, char **command)
{
	char word;
	int why;

	signal(SIGPIPE, c->on_pipe);
	signal(SIGCHLD, c->on_child);
	sigprocmask(SIG_SETMASK, &c->mask, NULL);
	if (fd_read_all(go, &word, 1) != 1)
		_exit(0);
	execvp(command[0], command);
	why = errno;
	if (fd_write_all(failed, &why, sizeof(why)))
		_exit(126);
	_exit(127);
}

int watch_child_make(struct watch_child *c, char **command, struct err *e)
{
	int go[2], failed[2];

	if (pipe2(go, O_CLOEXEC))
		return err_errno(e, -errno, "making a pipe for %s", command[0]);
	if (pipe2(failed, O_CLOEXEC)) {
		fd_close(go[0]);
		fd_close(go[1]);
		return err_errno(e, -errno, "making a pipe for %s", command[0]);
	}
	c->pid = fork();
	if (c->pid == 0) {
		fd_close(go[1]);
		be_child(c, go[0], failed[1], command);
	}
	fd_close(go[0]);
	fd_close(failed[1]);
	c->go = go[1];
	c->failed = failed[0];
	return c->pid < 0 ? err_errno(e, -errno, "starting %s", command[0]) : 0;
}

int watch_child_start(struct watch_child *c, char **command, struct err *e)
{
	int why = 0, r = fd_write_all(c->go, "g", 1);
	ssize_t n = r ? 0 : fd_read_all(c->failed, &why, sizeof(why));

	c->go = fd_close(c->go);
	c->failed = fd_close(c->failed);
	if (r && r != -EPIPE) /* it has been ended: that is seen as the end of any other */
		return err_errno(e, r, "starting %s", command[0]);
	return n == sizeof(why) ? err_errno(e, -why, "running %s", command[0]) : 0;
}
