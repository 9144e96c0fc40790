/* SPDX-License-Identifier: MIT */
/* The two servers that daytimed is measured against, written for that: rival textbook|bare PORT.
 * `textbook` is accept, time, localtime, asctime, write, close, as in every book; `bare` is the
 * least that sends a reply of the same length: accept4, send, close. Both lose replies; see
 * daytimed(8). */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int listen_on(int port)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
				    .sin6_port = htons((unsigned short)port) };
	socklen_t len = sizeof(in6);
	int fd = socket(AF_INET6, SOCK_STREAM, 0), on = 1, off = 0;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, (struct sockaddr *)&in6, len) < 0 || listen(fd, SOMAXCONN) < 0 ||
	    getsockname(fd, (struct sockaddr *)&in6, &len) < 0) {
		perror("listen");
		exit(3);
	}
	fprintf(stderr, "listening on port %d...\n", ntohs(in6.sin6_port));
	return fd;
}

static void textbook(int server)
{
	for (;;) {
		struct sockaddr_storage addr;
		socklen_t len = sizeof(addr);
		int sock = accept(server, (struct sockaddr *)&addr, &len);
		const char *text;
		time_t t;

		if (sock < 0)
			continue;
		time(&t);
		text = asctime(localtime(&t));
		if (write(sock, text, strlen(text)) < 0)
			perror("write");
		close(sock);
	}
}

static void bare(int server)
{
	static const char text[] = "Sun Nov 22 11:02:45 2026\n";

	for (;;) {
		int sock = accept4(server, NULL, NULL, 0);

		if (sock < 0)
			continue;
		send(sock, text, sizeof(text) - 1, MSG_NOSIGNAL);
		close(sock);
	}
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	if (!strcmp(argv[1], "bare"))
		bare(listen_on(atoi(argv[2])));
	textbook(listen_on(atoi(argv[2])));
}
