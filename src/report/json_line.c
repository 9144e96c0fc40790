/* SPDX-License-Identifier: MIT */
#include "report/json_line.h"

#include <errno.h>
#include <stdlib.h>

int json_line(struct buf *out, json_t *o)
{
	char *text = o ? json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;

	json_decref(o);
	if (!text)
		return -ENOMEM;
	buf_str(out, text);
	buf_str(out, "\n");
	free(text);
	return out->failed ? -ENOMEM : 0;
}
