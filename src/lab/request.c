/* SPDX-License-Identifier: MIT */
#include "lab/request.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/text.h"
#include "lab/json_bytes.h"

/* Most names that one request takes. */
#define NAMES_MAX  20
#define NAME_BYTES 24

/* What every request may hold, and what each takes besides: "NAME:KIND". A name that is not here is
 * refused: one that was mistyped would otherwise be an expectation that is never looked at. "!"
 * after the kind: the request needs it; an end that was not named would else be the client's.
 *
 * KIND is b (true or false), s (text), d (duration, a text), x (name of an error, a text), l (list
 * of texts), o (names and values), or one of the whole numbers: e (0 or 1: an end), i (of 32 bits),
 * p (0 to 65535: ports, lengths of packets), u (0 to 1,000,000,000), n (the same, from 1), % (1 to
 * 100).
 */
#define CALL_OPTIONS "actor:i! name:s fails:x ends:b "
static const char common[] = "op:s where:s within:d";
static const struct form {
	const char *op, *takes;
} forms[] = {
	{ "scenario", "title:s source:s rfc:s shows:s proves:l loss:b" },
	{ "expect", "side:e! states:l! connection:n orphan:b told:b timer:b recv_q:i send_q:i "
		    "retransmits:i" },
	{ "expect_path", "side:e! states:l! connection:n" },
	{ "expect_packet", "side:e! connection:n flags:s without:s length:p count:u "
			   "retransmission:b" },
	{ "sample", "side:e! connection:n" },
	{ "check", "passed:b! text:s!" },
	{ "observe", "title:s connection:n" },
	{ "step", "text:s!" },
	{ "run", "side:e! argv:l!" },
	{ "process", "side:e! name:s" },
	{ "says", "actor:i! text:s!" },
	{ "listens", "actor:i!" },
	{ "exits", "actor:i! status:i" },
	{ "output", "actor:i!" },
	{ "kill", "actor:i! signal:s!" },
	{ "sysctl", "side:e! name:s! value:s! optional:b" },
	{ "call", CALL_OPTIONS "begin:b fd:i! args:o!" },
	{ "finish", CALL_OPTIONS },
	{ "fork", CALL_OPTIONS },
	{ "post", CALL_OPTIONS "fd:i!" },
	{ "take", CALL_OPTIONS },
	{ "exec", CALL_OPTIONS "path:s! keep:b" },
	{ "exit", CALL_OPTIONS "status:i" },
	{ "wire_rule", "action:s! from:e flags:s without:s data:b length:p nth:n times:n percent:% "
		       "by:d" },
	{ "wire_stop", "rule:i!" },
	{ "wire_caught", "rule:i! count:u" },
	{ "wire_release", "rule:i reverse:b" },
	{ "wire_cut", "cut:b!" },
	{ "wire_quiet", "lasting:d" },
	{ "wire_inject", "side:e! connection:n flags:s! seq:i ack:i length:p" },
};

/* What the arguments of a call hold, by the call's name. */
static const struct form call_forms[] = {
	{ "listen", "port:p! backlog:u reuse:b reuseport:b" },
	{ "connect", "host:e! port:p!" },
	{ "bind", "port:p!" },
	{ "write", "count:n data:s" },
	{ "read", "count:n!" },
	{ "shutdown", "how:s!" },
	{ "set", "option:s! value:i!" },
	{ "limit", "count:u!" },
	{ "socket", "" },
	{ "accept", "" },
	{ "disconnect", "" },
	{ "close", "" },
	{ "dup", "" },
	{ "nonblock", "" },
};

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static const struct form *find_in(const struct form *list, size_t n, const char *op)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i].op, op))
			return &list[i];
	return NULL;
}

static const struct form *find_form(const char *op)
{
	return find_in(forms, COUNT_OF(forms), op);
}

/* Takes the next "NAME:KIND" off `*at`, with `needed` where "!" follows. Returns its kind, or 0 at
 * the end. */
static char next_name(const char **at, char name[NAME_BYTES], bool *needed)
{
	size_t n;
	char kind;

	*at += strspn(*at, " ");
	if (!**at)
		return 0;
	n = strcspn(*at, ":");
	snprintf(name, NAME_BYTES, "%.*s", (int)n, *at);
	kind = (*at)[n + 1];
	*at += n + 2;
	*needed = **at == '!';
	*at += *needed;
	return kind;
}

static bool is_list_of_texts(const json_t *v)
{
	if (json_is_object(v)) /* an empty table in Lua is either */
		return json_object_size(v) == 0;
	for (size_t i = 0; i < json_array_size(v); i++)
		if (!json_is_string(json_array_get(v, i)))
			return false;
	return json_is_array(v);
}

/* The least and the greatest number of a kind. Returns false where it is none of numbers. */
static bool range_of(char kind, json_int_t range[2])
{
	static const struct {
		char kind;
		json_int_t least, greatest;
	} rows[] = {
		{ 'i', INT32_MIN, UINT32_MAX }, { 'p', 0, 65535 }, { 'u', 0, 1000000000 },
		{ 'n', 1, 1000000000 },         { '%', 1, 100 },   { 'e', 0, 1 },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (rows[i].kind != kind)
			continue;
		range[0] = rows[i].least;
		range[1] = rows[i].greatest;
		return true;
	}
	return false;
}

/* Linux gives its errors numbers below 4096 (MAX_ERRNO). */
static bool is_error_name(const json_t *v)
{
	const char *wanted = json_string_value(v);

	for (int i = 1; wanted && i < 4096; i++) {
		const char *name = strerrorname_np(i);

		if (name && !strcmp(name, wanted))
			return true;
	}
	return false;
}

static bool is_duration(const json_t *v)
{
	const char *text = json_string_value(v);
	int64_t unused;

	return text && num_duration(text, &unused) == 0;
}

static bool is_of_kind(const json_t *v, char kind)
{
	json_int_t range[2];

	if (range_of(kind, range))
		return json_is_integer(v) && json_integer_value(v) >= range[0] &&
		       json_integer_value(v) <= range[1];
	switch (kind) {
	case 'b':
		return json_is_boolean(v);
	case 's':
		return json_is_string(v);
	case 'd':
		return is_duration(v);
	case 'x':
		return is_error_name(v);
	case 'l':
		return is_list_of_texts(v);
	default:
		return json_is_object(v) || (json_is_array(v) && json_array_size(v) == 0);
	}
}

static int not_of_kind(const char *name, const json_t *v, char kind, struct err *e)
{
	const char *text = kind == 'b'   ? "true or false"
			   : kind == 's' ? "a text"
			   : kind == 'd' ? "a duration, such as \"2s\" or \"250ms\""
			   : kind == 'x' ? "the name of an error, such as \"EPIPE\""
			   : kind == 'l' ? "a list of texts"
					 : "names and values";
	json_int_t range[2];

	if (!range_of(kind, range))
		return err_set(e, -EINVAL, "'%s' is to be %s", name, text);
	if (!json_is_integer(v))
		return err_set(e, -EINVAL, "'%s' is to be a whole number", name);
	return err_set(e, -EINVAL, "'%s' is to be a whole number from %lld to %lld", name,
		       (long long)range[0], (long long)range[1]);
}

/* The kind that a request wants of a name; 0 where it does not take it. */
static char wanted_kind(const struct form *form, const char *wanted)
{
	const char *lists[] = { form->takes, common };
	char name[NAME_BYTES], kind;
	bool needed;

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (const char *at = lists[i]; (kind = next_name(&at, name, &needed));)
			if (!strcmp(name, wanted))
				return kind;
	return 0;
}

static int no_such_name(const struct form *form, const char *typed, struct err *e)
{
	const char *lists[] = { form->takes, common }, *known[NAMES_MAX], *near;
	char names[NAMES_MAX][NAME_BYTES];
	size_t n = 0;
	bool needed;

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (const char *at = lists[i]; n < NAMES_MAX && next_name(&at, names[n], &needed);
		     n++)
			known[n] = names[n];
	near = text_nearest(typed, known, n);
	if (near)
		return err_set(e, -EINVAL, "'%.40s' is not taken here; did you mean '%s'?", typed,
			       near);
	return err_set(e, -EINVAL, "'%.40s' is not taken here (see unclosed-scenario(5))", typed);
}

static int check_needed(const struct form *form, const json_t *message, struct err *e)
{
	char name[NAME_BYTES];
	bool needed;

	for (const char *at = form->takes; next_name(&at, name, &needed);)
		if (needed && !json_object_get(message, name))
			return err_set(e, -EINVAL, "'%s' is missing", name);
	return 0;
}

static int check_args(const struct form *form, json_t *message, struct err *e)
{
	const char *name;
	json_t *value;

	json_object_foreach (message, name, value) {
		char kind = wanted_kind(form, name);

		if (!kind)
			return no_such_name(form, name, e);
		if (!is_of_kind(value, kind))
			return not_of_kind(name, value, kind, e);
	}
	return check_needed(form, message, e);
}

/* The table of a call's own arguments, which stands in the request for the call. */
static int check_call(json_t *message, struct err *e)
{
	const char *call = json_string_value(json_object_get(message, "name"));
	const struct form *form = find_in(call_forms, COUNT_OF(call_forms), call ? call : "");
	json_t *args = json_object_get(message, "args");

	if (!form)
		return err_set(e, -EINVAL, "no call '%.40s'", call ? call : "");
	return check_args(form, args, e);
}

/* Copies a text, cut to fit. Returns false where it is none. */
static bool copy_text(const json_t *v, char *buf, size_t cap)
{
	char *bytes = json_to_bytes(v, NULL);

	snprintf(buf, cap, "%s", bytes ? bytes : "");
	free(bytes);
	return bytes != NULL;
}

int request_decode(const void *data, size_t len, struct request *out, struct err *e)
{
	json_t *message = json_loadb(data, len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
	struct request r = { .args = message };
	const struct form *form = NULL;
	bool known = json_is_object(message) &&
		     copy_text(json_object_get(message, "op"), r.op, sizeof(r.op));

	copy_text(json_object_get(message, "where"), r.where, sizeof(r.where));
	if (known && !strcmp(r.op, "done")) {
		r.kind = REQUEST_DONE;
	} else if (known && !strcmp(r.op, "error")) {
		r.kind = REQUEST_FAILED;
	} else {
		form = known ? find_form(r.op) : NULL;
		known = form != NULL;
	}
	if (!known) {
		json_decref(message);
		return err_set(e, -EBADMSG, "no message of a scenario's room");
	}
	*out = r;
	if (!form)
		return 0;
	known = check_args(form, message, e) == 0;
	return known && !strcmp(r.op, "call") ? check_call(message, e) : known ? 0 : -EINVAL;
}
