/* SPDX-License-Identifier: MIT */
/* The README's server that forgets to close: it reads to the end, and takes the next client. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT 8013

static void serve(int fd)
{
	char request[512];

	while (read(fd, request, sizeof(request)) > 0)
		;
}

int main(void)
{
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int ls = socket(AF_INET, SOCK_STREAM, 0);

	here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(ls, (struct sockaddr *)&here, sizeof(here)) || listen(ls, SOMAXCONN))
		return EXIT_FAILURE;
	for (;;)
		serve(accept(ls, NULL, NULL));
}
