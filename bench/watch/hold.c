/* SPDX-License-Identifier: MIT */
/* Holds connections whose peer has closed: hold COUNT PROCESSES [both] makes them, says "ready",
 * and lets go when its standard input ends. With `both` the peer shuts its side down and is held,
 * too, so that both ends are to be followed. One process may not have enough descriptors. */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static void die(const char *what)
{
	fprintf(stderr, "hold: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static void hold(unsigned number, int count, bool both, int ready)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof(at);
	int ls = socket(AF_INET, SOCK_STREAM, 0);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	at.sin_addr.s_addr = htonl(0x7f000000 + 0x10000 * (number + 16) + 1);
	if (bind(ls, (struct sockaddr *)&at, len) || listen(ls, 16))
		die("listen");
	getsockname(ls, (struct sockaddr *)&at, &len);
	for (int i = 0; i < count; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0), other;

		if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)))
			die("connect");
		other = accept(ls, NULL, NULL);
		if (other < 0)
			die("accept");
		if (both ? shutdown(other, SHUT_WR) : close(other))
			die("closing");
	}
	if (write(ready, "r", 1) != 1)
		die("write");
	pause();
	_exit(0);
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 1000, processes = argc > 2 ? atoi(argv[2]) : 1;
	struct rlimit most;
	int ready[2];
	char c;

	getrlimit(RLIMIT_NOFILE, &most);
	most.rlim_cur = most.rlim_max;
	setrlimit(RLIMIT_NOFILE, &most);
	if (processes < 1 || processes > 64 || pipe(ready))
		return 2;
	for (int i = 0; i < processes; i++)
		if (fork() == 0)
			hold((unsigned)i, count / processes, argc > 3 && !strcmp(argv[3], "both"),
			     ready[1]);
	close(ready[1]);
	for (int i = 0; i < processes; i++)
		if (read(ready[0], &c, 1) != 1)
			return 1;
	puts("ready");
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
	kill(0, SIGKILL); /* the caller gives it a process group of its own */
	return 0;
}
