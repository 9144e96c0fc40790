/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * The script is a stranger's. It runs in a child of the run. Before its first line, the child has
 * given up, in this order:
 *
 * Its descriptors: all but one SOCK_SEQPACKET socket to the run.
 *
 * What it may use up: CPU seconds, files larger than nothing, a core, a further process. The CPU
 * seconds are all that bounds a call into the string library, which no hook interrupts. A limit
 * that cannot be set ends the room, as a filter does that cannot be loaded.
 *
 * System calls, by a seccomp filter: read, write, memory and exit are left; any other kills it.
 *
 * Parts of Lua: there are base (less dofile, load, loadfile, collectgarbage and print), string
 * (less dump), table, math and utf8. The allocator refuses to go beyond ROOM_MEMORY_BYTES. A hook
 * ends the script after ROOM_INSTRUCTIONS, and from then on at every instruction, so that pcall()
 * does not help. Only text is loaded, never bytecode.
 *
 * A request is one JSON message with "op" and "where" ("file:line") and what the request takes. The
 * answer is an object with "ok" and a value, with "error" and a text, or with "stop" where the run
 * has decided. Strings are bytes: each byte is carried as the code point of the same number. The
 * last message has the op "done", or "error" with the script's last words.
 */
#include "lab/room.h"

#include <errno.h>
#include <jansson.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "lab/json_bytes.h"
#include "prelude.inc"

#define ROOM_FD          3
#define ROOM_TABLE_DEPTH 8
#define ROOM_ERROR_BYTES 4096 /* of the script's last words; the record keeps fewer */
#define TOO_LONG         "this is more than a scenario may give to the lab at once"
#define TEXT_OF_(x)      #x
#define TEXT_OF(x)       TEXT_OF_(x)

/* AddressSanitizer looks at /proc/self/maps and at signal stacks whenever Lua unwinds an error: a
 * build under it tests memory, the plain one tests the confinement. */
#ifdef __SANITIZE_ADDRESS__
#define ROOM_OTHER_CALLS SCMP_ACT_ALLOW
#define LAST_CLOSED_FD   STDIN_FILENO /* its reports go to stderr */
#else
#define ROOM_OTHER_CALLS SCMP_ACT_KILL_PROCESS
#define LAST_CLOSED_FD   STDERR_FILENO
#endif

static struct {
	char name[ROOM_NAME_BYTES];
	size_t used;
	bool spent;
	size_t left;       /* of the message that is being made */
	const char *wrong; /* what is wrong with it */
} room;

/* The value of the error that ends a script which the run has stopped. */
static const char stopped = 0;

static void *allocate(void *arg, void *old, size_t old_size, size_t size)
{
	size_t before = old ? old_size : 0;
	void *p;

	if (size == 0) {
		free(old);
		room.used -= before;
		return NULL;
	}
	if (size > before && room.used + (size - before) > ROOM_MEMORY_BYTES)
		return NULL;
	p = realloc(old, size);
	if (p)
		room.used += size - before;
	return p;
}

static void out_of_instructions(lua_State *L, lua_Debug *ar)
{
	if (!room.spent) {
		room.spent = true;
		lua_sethook(L, out_of_instructions, LUA_MASKCOUNT, 1);
	}
	luaL_error(L, "the script ran for more than %d instructions: an endless loop?",
		   ROOM_INSTRUCTIONS);
}

/* Where in the script the caller stands: "file:line". The prelude's own frames are passed over. */
static void script_position(lua_State *L, char *buf, size_t cap)
{
	lua_Debug ar;

	snprintf(buf, cap, "%s", room.name);
	for (int level = 1; lua_getstack(L, level, &ar); level++) {
		lua_getinfo(L, "Sl", &ar);
		if (ar.source[0] == '@' && ar.currentline > 0) {
			snprintf(buf, cap, "%s:%d", ar.source + 1, ar.currentline);
			return;
		}
	}
}

static json_t *to_json(lua_State *L, int index, int depth);

/* Why a message cannot be made. Nothing is raised before what has been made of it is freed: that is
 * not the script's memory, and counted nowhere. */
static json_t *refuse(const char *why)
{
	room.wrong = room.wrong ? room.wrong : why;
	return NULL;
}

static json_t *list_to_json(lua_State *L, int index, lua_Integer n, int depth)
{
	json_t *out = json_array();

	for (lua_Integer i = 1; i <= n && !room.wrong; i++) {
		lua_rawgeti(L, index, i);
		if (json_array_append_new(out, to_json(L, lua_gettop(L), depth + 1)) < 0)
			refuse("no memory for what is given to the lab");
		lua_pop(L, 1);
	}
	return out;
}

static json_t *names_to_json(lua_State *L, int index, int depth)
{
	json_t *out = json_object();

	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
		if (lua_type(L, -2) != LUA_TSTRING)
			refuse("a table holds a key that is no name");
		else if (json_object_set_new(out, lua_tostring(L, -2),
					     to_json(L, lua_gettop(L), depth + 1)) < 0)
			refuse("a name in a table is no text");
		if (room.wrong) {
			lua_pop(L, 2);
			break;
		}
	}
	return out;
}

static json_t *table_to_json(lua_State *L, int index, int depth)
{
	lua_Integer n = (lua_Integer)lua_rawlen(L, index);
	json_t *out;

	if (depth > ROOM_TABLE_DEPTH)
		return refuse("a table is nested more than " TEXT_OF(ROOM_TABLE_DEPTH) " deep");
	out = n > 0 ? list_to_json(L, index, n, depth) : names_to_json(L, index, depth);
	if (!room.wrong)
		return out;
	json_decref(out);
	return NULL;
}

/* NULL, with room.wrong set, where the value cannot be given to the lab. */
static json_t *to_json(lua_State *L, int index, int depth)
{
	size_t len = 0;
	const char *s = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &len) : NULL;
	lua_Integer whole;
	int is_whole;

	if (len + 1 > room.left || !lua_checkstack(L, 4))
		return refuse(TOO_LONG);
	room.left -= len + 1;
	switch (lua_type(L, index)) {
	case LUA_TBOOLEAN:
		return json_boolean(lua_toboolean(L, index));
	case LUA_TNUMBER:
		whole = lua_tointegerx(L, index, &is_whole); /* 1e6 too */
		return is_whole ? json_integer(whole) : json_real(lua_tonumber(L, index));
	case LUA_TSTRING:
		return json_from_bytes(s, len);
	case LUA_TTABLE:
		return table_to_json(L, index, depth);
	default:
		return refuse("a value of this type cannot be given to the lab");
	}
}

static void push_json(lua_State *L, const json_t *v)
{
	const char *key;
	json_t *field;
	char *bytes;
	size_t len;

	switch (json_typeof(v)) {
	case JSON_TRUE:
	case JSON_FALSE:
		lua_pushboolean(L, json_is_true(v));
		break;
	case JSON_INTEGER:
		lua_pushinteger(L, json_integer_value(v));
		break;
	case JSON_STRING:
		bytes = json_to_bytes(v, &len);
		lua_pushlstring(L, bytes ? bytes : "", bytes ? len : 0);
		free(bytes);
		break;
	case JSON_OBJECT:
		lua_newtable(L);
		json_object_foreach ((json_t *)v, key, field) {
			push_json(L, field);
			lua_setfield(L, -2, key);
		}
		break;
	default:
		lua_pushnil(L);
		break;
	}
}

/* Sends a message; the room has nothing left to do where that fails. Returns false where it is too
 * long to be one. */
static bool send_json(json_t *message)
{
	char *text = json_dumps(message, JSON_COMPACT);
	size_t len = text ? strlen(text) : 0;

	json_decref(message);
	if (!text || (len <= ROOM_MESSAGE_BYTES && send(ROOM_FD, text, len, MSG_NOSIGNAL) < 0))
		_exit(1);
	free(text);
	return len <= ROOM_MESSAGE_BYTES;
}

static json_t *receive_json(void)
{
	static char space[ROOM_MESSAGE_BYTES];
	ssize_t n = recv(ROOM_FD, space, sizeof(space), 0);
	json_t *answer = n > 0 ? json_loadb(space, (size_t)n, JSON_ALLOW_NUL, NULL) : NULL;

	if (!answer)
		_exit(1);
	return answer;
}

/* Raises an error with the place in the script, not in the prelude. */
static int raise_at(lua_State *L, const char *where, const char *op, const char *why)
{
	lua_pushfstring(L, "%s: %s: %s", where, op, why);
	return lua_error(L);
}

/* request(op, arguments) */
static int l_request(lua_State *L)
{
	const char *op = luaL_checkstring(L, 1);
	char where[192];
	json_t *message, *answer, *value;

	script_position(L, where, sizeof(where));
	if (!lua_istable(L, 2))
		return luaL_error(L, "%s takes a table", op);
	room.left = ROOM_MESSAGE_BYTES;
	room.wrong = NULL;
	message = table_to_json(L, 2, 0);
	if (!message)
		return raise_at(L, where, op, room.wrong);
	if (!json_is_object(message)) {
		json_decref(message);
		return raise_at(L, where, op, "takes names and values, as in { title = \"...\" }");
	}
	json_object_set_new(message, "op", json_string(op));
	json_object_set_new(message, "where", json_from_bytes(where, strlen(where)));
	if (!send_json(message))
		return raise_at(L, where, op, TOO_LONG);
	answer = receive_json();
	value = json_object_get(answer, "error");
	if (value) {
		lua_pushfstring(L, "%s: ", where);
		push_json(L, value);
		json_decref(answer);
		lua_concat(L, 2);
		return lua_error(L);
	}
	if (json_object_get(answer, "stop")) {
		json_decref(answer);
		lua_pushlightuserdata(L, (void *)&stopped);
		return lua_error(L);
	}
	value = json_object_get(answer, "ok");
	if (value)
		push_json(L, value);
	else
		lua_pushnil(L);
	json_decref(answer);
	return 1;
}

/* mistake(text): an error that the prelude found, where the script stands. */
static int l_mistake(lua_State *L)
{
	char where[192];

	script_position(L, where, sizeof(where));
	lua_pushfstring(L, "%s: %s", where, luaL_checkstring(L, 1));
	return lua_error(L);
}

#define NEAREST_MAX 64 /* more names than anything in the prelude has */

/* nearest(word, list): the name in the list that the word was meant to be, or nil. */
static int l_nearest(lua_State *L)
{
	const char *word = luaL_checkstring(L, 1), *names[NEAREST_MAX];
	lua_Unsigned n = lua_rawlen(L, 2);

	n = n < NEAREST_MAX ? n : NEAREST_MAX;
	luaL_checkstack(L, (int)n + 1, NULL);
	for (lua_Unsigned i = 0; i < n; i++) {
		lua_rawgeti(L, 2, (lua_Integer)i + 1);
		names[i] = luaL_checkstring(L, -1); /* stays on the stack, so it stays there */
	}
	lua_pushstring(L, text_nearest(word, names, n)); /* NULL: nil */
	return 1;
}

/* Names that a script may try, and why it gets nothing. */
static int l_refuse(lua_State *L)
{
	static const char *const refused[] = {
		"io",       "os",     "debug",      "package",        "require", "load",
		"loadfile", "dofile", "loadstring", "collectgarbage", "print",   "coroutine"
	};
	const char *name = luaL_tolstring(L, 2, NULL);

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (!strcmp(name, refused[i]))
			return luaL_error(L,
					  "'%s' is not there: a scenario has no files, processes, "
					  "modules or further code (see unclosed-scenario(5))",
					  name);
	return luaL_error(L, "nothing is called '%s' (see unclosed-scenario(5))", name);
}

static void open_libraries(lua_State *L)
{
	static const luaL_Reg libs[] = {
		{ LUA_GNAME, luaopen_base },       { LUA_STRLIBNAME, luaopen_string },
		{ LUA_TABLIBNAME, luaopen_table }, { LUA_MATHLIBNAME, luaopen_math },
		{ LUA_UTF8LIBNAME, luaopen_utf8 },
	};
	static const char *const removed[] = { "dofile",         "load",  "loadfile",
					       "collectgarbage", "print", "warn" };

	for (size_t i = 0; i < sizeof(libs) / sizeof(libs[0]); i++) {
		luaL_requiref(L, libs[i].name, libs[i].func, 1);
		lua_pop(L, 1);
	}
	for (size_t i = 0; i < sizeof(removed) / sizeof(removed[0]); i++) {
		lua_pushnil(L);
		lua_setglobal(L, removed[i]);
	}
	lua_getglobal(L, "string");
	lua_pushnil(L);
	lua_setfield(L, -2, "dump");
	lua_pop(L, 1);
}

static void refuse_unknown_globals(lua_State *L)
{
	lua_pushglobaltable(L);
	lua_newtable(L);
	lua_pushcfunction(L, l_refuse);
	lua_setfield(L, -2, "__index");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_setmetatable(L, -2);
	lua_pop(L, 1);
}

static int run_prelude(lua_State *L, const struct room_facts *facts)
{
	int r = luaL_loadbufferx(L, prelude, sizeof(prelude) - 1, "=prelude", "t");

	if (r != LUA_OK)
		return r;
	lua_pushcfunction(L, l_request);
	lua_newtable(L);
	lua_pushstring(L, facts->client);
	lua_setfield(L, -2, "client");
	lua_pushstring(L, facts->server);
	lua_setfield(L, -2, "server");
	lua_pushinteger(L, facts->port);
	lua_setfield(L, -2, "port");
	lua_pushboolean(L, facts->loopback);
	lua_setfield(L, -2, "loopback");
	lua_pushboolean(L, facts->ipv6);
	lua_setfield(L, -2, "ipv6");
	lua_pushcfunction(L, l_mistake);
	lua_pushcfunction(L, l_nearest);
	return lua_pcall(L, 4, 0, 0);
}

static int run_script(lua_State *L, const char *text, size_t len)
{
	char chunk[sizeof(room.name) + 1];
	int r;

	snprintf(chunk, sizeof(chunk), "@%s", room.name);
	if (len > 0 && text[0] == LUA_SIGNATURE[0]) {
		lua_pushfstring(L, "%s: this is Lua bytecode; a scenario is Lua text", room.name);
		return LUA_ERRSYNTAX;
	}
	r = luaL_loadbufferx(L, text, len, chunk, "t");
	return r == LUA_OK ? lua_pcall(L, 0, 0, 0) : r;
}

/* The script runs from here on. Ends in the last message. */
static void play(const char *text, size_t len, const struct room_facts *facts)
{
	lua_State *L = lua_newstate(allocate, NULL);
	const char *error;
	int r;

	if (!L)
		_exit(1);
	open_libraries(L);
	r = run_prelude(L, facts);
	if (r == LUA_OK) {
		refuse_unknown_globals(L);
		lua_sethook(L, out_of_instructions, LUA_MASKCOUNT, ROOM_INSTRUCTIONS);
		r = run_script(L, text, len);
		lua_sethook(L, NULL, 0, 0);
	}
	if (r == LUA_OK || lua_touserdata(L, -1) == &stopped) {
		send_json(json_pack("{s:s}", "op", "done"));
	} else {
		error = lua_tostring(L, -1);
		error = error ? error : "the script raised an error that is no text";
		send_json(json_pack("{s:s, s:o}", "op", "error", "text",
				    json_from_bytes(error, strnlen(error, ROOM_ERROR_BYTES))));
	}
	/* The state is not closed: that would run the script's __gc once more. */
}

/* Sets the limits. Returns 0, or -1 with errno. */
static int limit(void)
{
	static const struct {
		int resource;
		rlim_t soft, hard;
	} rows[] = {
		{ RLIMIT_CPU, ROOM_CPU_SECONDS, ROOM_CPU_SECONDS + 1 },
		{ RLIMIT_FSIZE, 0, 0 },
		{ RLIMIT_CORE, 0, 0 },
		{ RLIMIT_NPROC, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rlimit to = { rows[i].soft, rows[i].hard };

		if (setrlimit((__rlimit_resource_t)rows[i].resource, &to) < 0)
			return -1;
	}
	return 0;
}

static int confine(void)
{
	static const int allowed[] = {
		SYS_read,  SYS_write,      SYS_recvfrom,     SYS_sendto,    SYS_brk,
		SYS_mmap,  SYS_munmap,     SYS_mremap,       SYS_mprotect,  SYS_madvise,
		SYS_futex, SYS_exit_group, SYS_rt_sigreturn, SYS_getrandom, SYS_clock_gettime,
	};
	scmp_filter_ctx filter;
	int r = 0;

	if (limit() < 0)
		return -errno;
	filter = seccomp_init(ROOM_OTHER_CALLS);
	if (!filter)
		return -ENOMEM;
	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]) && r == 0; i++)
		if (ROOM_OTHER_CALLS != SCMP_ACT_ALLOW)
			r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}

static _Noreturn void room_child(int fd, const char *text, size_t len,
				 const struct room_facts *facts)
{
	if ((fd != ROOM_FD && dup2(fd, ROOM_FD) < 0) || close_range(ROOM_FD + 1, ~0u, 0) < 0)
		_exit(1);
	for (int i = 0; i <= LAST_CLOSED_FD; i++)
		close(i);
	json_object_seed(0); /* opens /dev/urandom, which is not to be had any more after this */
	if (confine() < 0)
		_exit(1);
	play(text, len, facts);
	_exit(0);
}

pid_t room_start(const char *name, const char *text, size_t len, const struct room_facts *facts,
		 int *fd, struct err *e)
{
	int pair[2], r;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(e, -errno, "making a socket for the scenario's room");
	snprintf(room.name, sizeof(room.name), "%s", name);
	pid = fork();
	if (pid == 0)
		room_child(pair[1], text, len, facts);
	r = pid < 0 ? err_errno(e, -errno, "starting the scenario's room") : 0;
	close(pair[1]);
	if (r < 0) {
		close(pair[0]);
		return r;
	}
	*fd = pair[0];
	return pid;
}
