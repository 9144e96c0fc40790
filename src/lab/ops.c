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
	char text[400], whole[512];
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

	if (run->nexpects == TL_MAX_EXPECTS) {
		run->expects_lost++;
	} else {
		x = &run->expects[run->nexpects++];
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
	if (text)
		send(lab->room, text, strlen(text), MSG_NOSIGNAL);
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

/* Reads `within`. Returns false with the answer's error set where it is no duration. */
static bool set_deadline(const struct lab *lab, struct pending *p, struct answer *a)
{
	int64_t ns = LAB_WITHIN_NS;
	char text[32];

	if (arg_given(p, "within") &&
	    num_duration(arg_text(p, "within", text, sizeof(text)), &ns) < 0) {
		op_error(a, "within = \"%s\" is no duration, such as \"2s\" or \"250ms\"", text);
		return false;
	}
	p->deadline_ns = clock_mono_ns() + ns * (lab->wire.loss ? LAB_LOSS_PATIENCE : 1);
	return true;
}

static void begin(struct lab *lab, json_t *message)
{
	struct pending *p = &lab->pending;
	struct answer a = { 0 };
	char name[32];
	enum op_result result;

	*p = (struct pending){ .args = message, .actor = -1 };
	arg_text(p, "where", p->where, sizeof(p->where));
	p->op = find_op(arg_text(p, "op", name, sizeof(name)));
	if (!p->op)
		result = op_error(&a, "no request '%s'", name);
	else if (!set_deadline(lab, p, &a))
		result = OP_ERROR;
	else
		result = p->op->begin(lab, p, &a);
	settle(lab, result, &a);
}

/* The script's own error, with the line that it stands in. */
static void script_failed(struct lab *lab, const char *error)
{
	const char *text = lab->script->text, *end = text + lab->script->len, *colon;
	char whole[512];
	long line = 0;

	colon = strstr(error, ".lua:");
	if (colon)
		line = strtol(colon + 5, NULL, 10);
	for (long n = 1; n < line && text < end; n++) {
		const char *eol = memchr(text, '\n', (size_t)(end - text));

		text = eol ? eol + 1 : end;
	}
	while (text < end && (*text == ' ' || *text == '\t'))
		text++;
	if (line > 0 && text < end) {
		const char *eol = memchr(text, '\n', (size_t)(end - text));

		snprintf(whole, sizeof(whole), "%.300s\n    %.*s", error,
			 (int)((eol ? eol : end) - text), text);
	} else { /* "not enough memory" comes without a place */
		snprintf(whole, sizeof(whole), "%s%s%s", colon ? "" : lab->script->file,
			 colon ? "" : ": ", error);
	}
	record_finish(&lab->rec, TL_SCRIPT, whole);
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

static void last_message(struct lab *lab, const json_t *message, const char *op)
{
	char *error = json_to_bytes(json_object_get(message, "text"), NULL);

	if (!strcmp(op, "error"))
		script_failed(lab, error ? error : "the script failed");
	free(error);
	lab->room = fd_close(lab->room);
	lab->done = true;
}

void ops_receive(struct lab *lab)
{
	static char space[ROOM_MESSAGE_BYTES];
	const char *op;
	json_t *message;
	ssize_t n;

	if (lab->room < 0 || lab->pending.op)
		return;
	n = recv(lab->room, space, sizeof(space), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		room_lost(lab);
		return;
	}
	message = json_loadb(space, (size_t)n, JSON_ALLOW_NUL, NULL);
	op = json_string_value(json_object_get(message, "op"));
	if (!op) {
		json_decref(message);
		room_lost(lab);
	} else if (!strcmp(op, "done") || !strcmp(op, "error")) {
		last_message(lab, message, op);
		json_decref(message);
	} else {
		begin(lab, message);
	}
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
