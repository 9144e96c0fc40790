/* SPDX-License-Identifier: MIT */
/* Load for a daytime server: THREADS closed loops that connect, read to the end of the stream and
 * close, CONNECTIONS in all. load PORT CONNECTIONS THREADS. Prints "REPLIES ERRORS SECONDS". */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static atomic_long left, replies, errors;
static unsigned short port;

static void one(struct sockaddr_in *to)
{
	char bytes[512];
	ssize_t n = 0, got = 0;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)to, sizeof(*to)) == 0)
		while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
			got += n;
	if (fd < 0 || n < 0 || got == 0)
		atomic_fetch_add(&errors, 1);
	else
		atomic_fetch_add(&replies, 1);
	if (fd >= 0)
		close(fd);
}

static void *loop(void *arg)
{
	/* An address of 127/8 for each thread, so that no one pair of addresses runs out of ports.
	 */
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(0x7f000001 + (unsigned)(long)arg % 64) };

	while (atomic_fetch_sub(&left, 1) > 0)
		one(&to);
	return NULL;
}

int main(int argc, char **argv)
{
	static pthread_t thread[512];
	struct timespec a, b;
	int threads = argc == 4 ? atoi(argv[3]) : 0;

	if (threads < 1 || threads > 512)
		return 2;
	port = (unsigned short)atoi(argv[1]);
	atomic_store(&left, atol(argv[2]));
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (long i = 0; i < threads; i++)
		pthread_create(&thread[i], NULL, loop, (void *)i);
	for (int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("%ld %ld %.6f\n", atomic_load(&replies), atomic_load(&errors),
	       (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9);
	return 0;
}
