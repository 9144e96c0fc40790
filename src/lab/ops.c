/* SPDX-License-Identifier: MIT */
#include "lab/ops.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "lab/json_bytes.h"
#include "lab/request.h"
#include "lab/room.h"

/* How often the kernel is asked again while a step waits and nothing else happens: a timer may have
 * changed a state without a packet. */
#define POLL_NS (2 * CLOCK_NS_PER_MS)

static const struct op *const families[] = { ops_actor, ops_puppet, ops_expect, ops_wire };

static const struct op *find_op(const char *name)
{
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		for (const struct op *op = families[i]; op->name; op++)
			if (!strcmp(op->name, name))
				return op;
	return NULL;
}

int64_t arg_int(const struct pending *p, const char *name, int64_t absent)
{
	const json_t *v = json_object_get(p->args, name);

	return json_is_integer(v) ? json_integer_value(v) : absent;
}

bool arg_true(const struct pending *p, const char *name)
{
	return json_is_true(json_object_get(p->args, name));
}

bool arg_given(const struct pending *p, const char *name)
{
	return json_object_get(p->args, name) != NULL;
}

const char *arg_text(const struct pending *p, const char *name, char *buf, size_t cap)
{
	char *bytes = json_to_bytes(json_object_get(p->args, name), NULL);

	snprintf(buf, cap, "%s", bytes ? bytes : "");
	free(bytes);
	return buf;
}

enum tl_side arg_side(const struct pending *p)
{
	return arg_int(p, "side", 0) ? TL_SERVER : TL_CLIENT;
}

struct actor *arg_actor(struct lab *lab, struct pending *p, struct answer *a)
{
	int64_t i = arg_int(p, "actor", -1);

	if (i < 0 || i >= lab->nactors) {
		op_error(a, "no such process or program");
		return NULL;
	}
	p->actor = (int)i;
	return &lab->actors[i];
}

uint16_t arg_conn(const struct lab *lab, const struct pending *p)
{
	int64_t n = arg_int(p, "connection", 1);

	return n >= 1 && n <= lab->run->nconns ? (uint16_t)(n - 1) : TL_NO_CONN;
}

enum op_result op_error(struct answer *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(a->error.text, sizeof(a->error.text), fmt, ap);
	va_end(ap);
	return OP_ERROR;
}

enum op_result op_ok(struct answer *a, json_t *value)
{
	a->value = value;
	return OP_OK;
}

enum op_result op_broken(struct lab *lab, struct pending *p, const char *fmt, ...)
{
	char text[400], whole[640];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(whole, sizeof(whole), "%s: %s", p->where, text);
	record_finish(&lab->rec, TL_BROKEN, whole);
	return OP_STOP;
}

enum op_result lab_expect(struct lab *lab, struct pending *p, enum tl_side side, bool passed,
			  const char *wanted, const char *seen)
{
	struct tl_run *run = lab->run;
	struct tl_expect *x;

	if (run->nexpects == TL_MAX_EXPECTS)
		run->expects_lost++;
	/* The one that decides the run is told in any case, in the last one's place. */
	if (run->nexpects < TL_MAX_EXPECTS || !passed) {
		run->nexpects += run->nexpects < TL_MAX_EXPECTS;
		x = &run->expects[run->nexpects - 1];
		*x = (struct tl_expect){ .passed = passed,
					 .side = (uint8_t)side,
					 .event = (uint16_t)run->nevents,
					 .t_us = record_now_us(&lab->rec) };
		snprintf(x->wanted, sizeof(x->wanted), "%s", wanted);
		snprintf(x->seen, sizeof(x->seen), "%s", seen);
		snprintf(x->where, sizeof(x->where), "%s", p->where);
	}
	if (passed)
		return OP_OK;
	record_finish(&lab->rec, TL_FAILED, "");
	return OP_STOP;
}

struct actor *lab_new_actor(struct lab *lab, struct answer *a)
{
	if (lab->nactors == ACTOR_MAX) {
		op_error(a, "a scenario may have %d actors", ACTOR_MAX);
		return NULL;
	}
	return &lab->actors[lab->nactors];
}

/* The room has ended without a last message: the kernel ended it. */
static void room_lost(struct lab *lab)
{
	char text[256];

	snprintf(
		text, sizeof(text),
		"%s: the script was ended: it used more than %d s of processor time, or tried what a "
		"scenario may not",
		lab->script->file, ROOM_CPU_SECONDS);
	record_finish(&lab->rec, TL_SCRIPT, text);
	lab->room = fd_close(lab->room);
	lab->done = true;
}

/* Answers the room. A room that is gone is noticed where it is waited for. */
static void reply(struct lab *lab, enum op_result result, struct answer *a)
{
	json_t *message = json_object();
	char *text;

	if (result == OP_ERROR)
		json_object_set_new(message, "error",
				    json_from_bytes(a->error.text, strlen(a->error.text)));
	else if (result == OP_STOP)
		json_object_set_new(message, "stop", json_true());
	else if (a->value)
		json_object_set_new(message, "ok", a->value);
	text = json_dumps(message, JSON_COMPACT);
	json_decref(message);
	if (text && strlen(text) > ROOM_MESSAGE_BYTES) {
		free(text);
		text = strdup("{\"error\":\"the answer is too long for a script\"}");
	}
	/* A room that does not take its answers must not hold up the run. */
	if (!text || send(lab->room, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		room_lost(lab);
	free(text);
}

static void settle(struct lab *lab, enum op_result result, struct answer *a)
{
	if (result == OP_WAIT)
		return;
	reply(lab, result, a);
	json_decref(lab->pending.args);
	lab->pending = (struct pending){ 0 };
}

/* Reads `within`, which is a duration: request_decode() has seen to that. */
static void set_deadline(const struct lab *lab, struct pending *p)
{
	int64_t ns = LAB_WITHIN_NS;
	char text[32];

	if (arg_given(p, "within"))
		num_duration(arg_text(p, "within", text, sizeof(text)), &ns);
	if (ns > lab->options->timeout_ns) /* the run ends before */
		ns = lab->options->timeout_ns;
	p->deadline_ns = clock_mono_ns() + ns * (lab->wire.loss ? LAB_LOSS_PATIENCE : 1);
}

static enum op_result begin_op(struct lab *lab, struct pending *p, struct answer *a)
{
	set_deadline(lab, p);
	return p->op->begin(lab, p, a);
}

/* Takes over the request's message. `bad` is what is wrong with it, or NULL. */
static void begin(struct lab *lab, const struct request *request, const char *bad)
{
	struct pending *p = &lab->pending;
	struct answer a = { 0 };
	enum op_result result;

	*p = (struct pending){ .args = request->args, .actor = -1 };
	snprintf(p->where, sizeof(p->where), "%s", request->where);
	p->op = find_op(request->op);
	if (bad || !p->op)
		result = op_error(&a, "%s", bad ? bad : "no such request");
	else if (!lab->run->title[0] && strcmp(request->op, "scenario") != 0)
		result = op_error(&a, "a script begins with scenario { title = \"...\" }");
	else
		result = begin_op(lab, p, &a);
	settle(lab, result, &a);
}

/* The script's own error, with the line that it stands in. */
static void script_failed(struct lab *lab, const char *error)
{
	const char *text = lab->script->text, *end = text + lab->script->len, *colon;
	char whole[512], name[ROOM_NAME_BYTES], place[ROOM_NAME_TAIL + 2];
	size_t len, skip;
	long line = 0;

	snprintf(name, sizeof(name), "%s", lab->script->file);
	len = strlen(name);
	skip = len > ROOM_NAME_TAIL ? len - ROOM_NAME_TAIL : 0;
	snprintf(place, sizeof(place), "%s:", name + skip);
	colon = strstr(error, place);
	if (colon)
		line = strtol(colon + strlen(place), NULL, 10);
	for (long n = 1; n < line && text < end; n++) {
		const char *eol = memchr(text, '\n', (size_t)(end - text));

		text = eol ? eol + 1 : end;
	}
	while (text < end && (*text == ' ' || *text == '\t'))
		text++;
	if (line > 0 && text < end) {
		const char *eol = memchr(text, '\n', (size_t)(end - text));

		snprintf(whole, sizeof(whole), "%.300s; the line: %.*s", error,
			 (int)((eol ? eol : end) - text), text);
	} else { /* "not enough memory" comes without a place */
		snprintf(whole, sizeof(whole), "%s%s%s", colon ? "" : lab->script->file,
			 colon ? "" : ": ", error);
	}
	record_finish(&lab->rec, TL_SCRIPT, whole);
}

static void last_message(struct lab *lab, const struct request *request)
{
	char *error = json_to_bytes(json_object_get(request->args, "text"), NULL);

	if (request->kind == REQUEST_FAILED)
		script_failed(lab, error ? error : "the script failed");
	free(error);
	json_decref(request->args);
	lab->room = fd_close(lab->room);
	lab->done = true;
}

void ops_receive(struct lab *lab)
{
	static char space[ROOM_MESSAGE_BYTES];
	struct request request;
	struct err e = { 0 };
	ssize_t n;
	int r;

	if (lab->room < 0 || lab->pending.op)
		return;
	n = recv(lab->room, space, sizeof(space), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	r = n > 0 ? request_decode(space, (size_t)n, &request, &e) : -EBADMSG;
	if (r == -EBADMSG)
		room_lost(lab);
	else if (request.kind == REQUEST_ASKS)
		begin(lab, &request, r < 0 ? e.text : NULL);
	else
		last_message(lab, &request);
}

void ops_poll(struct lab *lab)
{
	struct pending *p = &lab->pending;
	struct answer a = { 0 };
	enum op_result result;

	if (!p->op)
		return;
	result = p->op->poll ? p->op->poll(lab, p, &a) : OP_OK;
	if (result == OP_WAIT && clock_mono_ns() >= p->deadline_ns)
		result = p->op->late ? p->op->late(lab, p, &a)
				     : op_broken(lab, p, "%s: not done in time", p->op->name);
	settle(lab, result, &a);
}

int64_t ops_next_ns(const struct lab *lab)
{
	int64_t left;

	if (!lab->pending.op)
		return -1;
	left = lab->pending.deadline_ns - clock_mono_ns();
	if (left < 0)
		return 0;
	return left < POLL_NS ? left : POLL_NS;
}
