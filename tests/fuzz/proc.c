/* SPDX-License-Identifier: MIT */
/* What other processes have a say in: /proc/PID/stat, /proc/PID/cgroup, descriptor links. */
#include <stdlib.h>
#include <string.h>

#include "kernel/owners.h"
#include "kernel/proc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *path = NULL;
	char container[72], *whole;
	struct proc_image image;
	struct proc_stat stat;
	size_t n;

	if (proc_decode_stat(text, size, &stat) == 0 && stat.comm[15])
		abort();
	if (proc_decode_image(text, size, &image) == 0 && !image.stack_start && image.code_start)
		abort();
	n = proc_decode_cgroup(text, size, &path);
	if (n && (path < text || path + n > text + size))
		abort();
	owner_socket_inode(text, size);
	whole = malloc(size + 1);
	if (!whole)
		return 0;
	memcpy(whole, data, size);
	whole[size] = '\0';
	proc_container_id(whole, container, sizeof(container));
	if (strnlen(container, sizeof(container)) == sizeof(container))
		abort();
	free(whole);
	return 0;
}
