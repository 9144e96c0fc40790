/* SPDX-License-Identifier: MIT */
/* Feeds every file of a corpus directory to a fuzz target, so that each input once found stays a
 * test. Prints TAP, a case a file. The same target, linked with libFuzzer instead, looks for more
 * (make fuzz). */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Inputs are copied to memory of just their size, so that a read past the end is seen. */
static void feed(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *exact, *space = malloc(1 << 20);
	size_t n;

	if (!f || !space) {
		perror(path);
		exit(1);
	}
	n = fread(space, 1, 1 << 20, f);
	fclose(f);
	exact = malloc(n ? n : 1);
	memcpy(exact, space, n);
	free(space);
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
}

int main(int argc, char **argv)
{
	struct dirent **names;
	int n, cases = 0;

	if (argc != 2)
		return 2;
	n = scandir(argv[1], &names, NULL, alphasort);
	if (n < 0) {
		perror(argv[1]);
		return 1;
	}
	for (int i = 0; i < n; i++) {
		char path[4096];

		if (names[i]->d_name[0] != '.') {
			snprintf(path, sizeof(path), "%s/%s", argv[1], names[i]->d_name);
			feed(path);
			printf("ok %d - %s\n", ++cases, names[i]->d_name);
			fflush(stdout);
		}
		free(names[i]);
	}
	free(names);
	printf("1..%d\n", cases);
	return cases == 0;
}
