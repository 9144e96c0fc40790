/* SPDX-License-Identifier: MIT */
/* request_decode(): messages of a room that a hostile script may have taken over. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lab/json_bytes.h"
#include "lab/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every text of an accepted message can be had as bytes, or is refused; never more than was sent.
 */
static void read_texts(const json_t *args, size_t size)
{
	const char *name;
	json_t *value;

	json_object_foreach ((json_t *)args, name, value) {
		size_t len = 0;
		char *bytes = json_to_bytes(value, &len);

		if (len > size || (bytes && bytes[len]))
			abort();
		free(bytes);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct request request = { .args = NULL };
	struct err e = { 0 };
	int r = request_decode(data, size, &request, &e);

	if (r == -EBADMSG) {
		if (request.args)
			abort();
		return 0;
	}
	if (r != 0 && (r != -EINVAL || !e.text[0] || request.kind != REQUEST_ASKS))
		abort();
	if (!json_is_object(request.args) || strnlen(request.op, sizeof(request.op)) > 31 ||
	    strnlen(request.where, sizeof(request.where)) >= sizeof(request.where))
		abort();
	read_texts(request.args, size);
	json_decref(request.args);
	return 0;
}
