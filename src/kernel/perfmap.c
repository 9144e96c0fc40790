/* SPDX-License-Identifier: MIT */
#include "kernel/perfmap.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define PERFMAP_MAX (64u << 20)

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads hexadecimal digits up to a space. Returns whether there were 1 to 16. */
static bool take_hex(const char **at, const char *end, uint64_t *value)
{
	const char *p = *at;
	uint64_t v = 0;

	for (; p < end && *p != ' '; p++) {
		int digit = hex_digit(*p);

		if (digit < 0 || p - *at == 16)
			return false;
		v = v << 4 | (uint64_t)digit;
	}
	if (p == *at || p == end)
		return false;
	*at = p + 1;
	*value = v;
	return true;
}

bool perfmap_find(const char *text, size_t len, uint64_t address, char *name, size_t cap,
		  uint64_t *start)
{
	const char *end = text + len, *line = text;
	bool found = false;

	while (line < end) {
		const char *stop = memchr(line, '\n', (size_t)(end - line)), *p = line;
		uint64_t from, size;

		if (!stop)
			stop = end;
		if (take_hex(&p, stop, &from) && take_hex(&p, stop, &size) && address >= from &&
		    address - from < size && p < stop && cap) {
			snprintf(name, cap, "%.*s", (int)(stop - p < 4096 ? stop - p : 4096), p);
			*start = from;
			found = true;
		}
		line = stop + 1;
	}
	return found;
}

/* The number that the process has in its own pid namespace: the last of NSpid. */
static pid_t inner_pid(pid_t pid)
{
	char path[64], line[256];
	int inner = pid;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		char *last = strrchr(line, '\t');

		if (!strncmp(line, "NSpid:", 6) && last)
			inner = (int)strtol(last + 1, NULL, 10);
	}
	if (f)
		fclose(f);
	return inner;
}

char *perfmap_read(pid_t pid, pid_t through, size_t *len)
{
	_fd_ int fd = -1;
	char path[96], *text;
	struct stat st;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/root/tmp/perf-%d.map", (int)through,
		 (int)inner_pid(pid));
	/* Anybody may put a pipe or a link to a device there. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > PERFMAP_MAX)
		return NULL;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return NULL;
	n = fd_read_all(fd, text, (size_t)st.st_size);
	if (n < 0) {
		free(text);
		return NULL;
	}
	*len = (size_t)n;
	return text;
}
