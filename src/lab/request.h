/* SPDX-License-Identifier: MIT */
/* One message from the room in which the script runs: {"op": ..., "where": "file:line", ...}. The
 * room is a stranger's: what its messages hold is checked here before anything acts on it. */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "base/err.h"

enum request_kind {
	REQUEST_ASKS,   /* the script wants something done and waits for the answer */
	REQUEST_DONE,   /* the script has ended */
	REQUEST_FAILED, /* the script has failed; args.text says how */
};

struct request {
	enum request_kind kind;
	char op[32];     /* one of those in request.c, or the last words' */
	char where[192]; /* "file:line", cut to fit; may be empty */
	json_t *args;    /* the whole message, an object: the caller's to json_decref() */
};

/* Decodes a message. Pure. Returns 0 with `out` filled; -EBADMSG, with `out` untouched, for bytes
 * that are no message of the room's; -EINVAL, with `out` filled and text for the script's author,
 * where the script gave a name that this request does not take, a value of another kind, or not
 * what the request needs. */
int request_decode(const void *data, size_t len, struct request *out, struct err *e);
