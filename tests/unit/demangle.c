/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/demangle.h"

static void means(const char *symbol, const char *name)
{
	char got[120];

	demangle(symbol, got, sizeof(got));
	assert_string_equal(got, name);
}

static void other_symbols_stay_as_they_are(void **state)
{
	means("main", "main");
	means("internal/poll.(*FD).Read", "internal/poll.(*FD).Read");
	means("_start", "_start");
	means("_Zebra", "_Zebra");
	means("_Repeat", "_Repeat");
	means("_ZN3net6Server", "_ZN3net6Server");
	means("", "");
	means(NULL, "");
}

static void cplusplus(void **state)
{
	means("_ZN3net6Server5serveEi", "net::Server::serve");
	means("_ZN3net7HandlerIiE8read_allEiRKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE.isra.0",
	      "net::Handler<int>::read_all");
	means("_ZZ4mainENKUlvE_clEv", "main::{lambda()#1}::operator()");
	means("_ZN12_GLOBAL__N_14pollEv", "(anonymous namespace)::poll");
}

static void rust(void **state)
{
	means("_ZN1a3web4Pool6handle17h1778b40a05b14d4cE", "a::web::Pool::handle");
	means("_ZN3std2rt10lang_start28_$u7b$$u7b$closure$u7d$$u7d$17he39bdf0230cb3880E",
	      "std::rt::lang_start::{{closure}}");
	means("_RNvMs7_NtNtCsjrHSEGnQ3l9_3std3net3tcpNtB5_11TcpListener6accept",
	      "<std::net::tcp::TcpListener>::accept");
}

static void a_long_name_is_cut_and_says_so(void **state)
{
	char got[12];

	demangle("_ZN3net6Server5serveEi", got, sizeof(got));
	assert_string_equal(got, "net::Ser...");
	demangle("twelve_bytes", got, sizeof(got));
	assert_string_equal(got, "twelve_b...");
	demangle("11_bytes_it", got, sizeof(got));
	assert_string_equal(got, "11_bytes_it");
	demangle("_ZN3net6ServerE", got, sizeof(got));
	assert_string_equal(got, "net::Server");
}

/* A place in the list of what was named before in a symbol. */
static void add_before(char *to, unsigned number)
{
	static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	char text[4] = "";

	if (number > 36)
		text[0] = digits[(number - 1) / 36];
	text[strlen(text)] = digits[(number - 1) % 36];
	strcat(strcat(strcat(to, "S"), text), "_E");
}

/* f<P<P<...>, P<...>>>: each of `depth` steps names the one before twice. */
static char *nested(unsigned depth)
{
	char *s = calloc(1, 16 + depth * 8);

	assert_non_null(s);
	strcat(s, "_Z1fI");
	for (unsigned i = 0; i < depth; i++)
		strcat(s, "1PI");
	strcat(s, "1X");
	for (unsigned i = 0; i < depth; i++)
		add_before(s, depth + 1 + i);
	return strcat(s, "Evv");
}

static void a_symbol_that_stands_for_more_than_there_is_memory_ends_soon(void **state)
{
	static const unsigned depths[] = { 2, 20, 60, 100 };
	char got[120], *symbol;

	alarm(20);
	symbol = nested(2);
	means(symbol, "f<P<P<X, X>, P<X, X> > >");
	free(symbol);
	for (size_t i = 1; i < sizeof(depths) / sizeof(depths[0]); i++) {
		symbol = nested(depths[i]);
		demangle(symbol, got, sizeof(got));
		assert_int_equal(strlen(got), sizeof(got) - 1);
		assert_string_equal(got + sizeof(got) - 4, "...");
		free(symbol);
	}
	alarm(0);
}

static void a_symbol_that_is_too_long_is_not_tried(void **state)
{
	char symbol[DEMANGLE_MAX + 64], got[120];

	for (size_t len = DEMANGLE_MAX; len <= DEMANGLE_MAX + 1; len++) {
		int name = snprintf(symbol, sizeof(symbol), "_ZN1a%zu", len - 11);

		memset(symbol + name, 'b', len - 11);
		strcpy(symbol + name + len - 11, "E");
		while (strlen(symbol) < len)
			strcat(symbol, "v");
		symbol[len] = '\0';
		demangle(symbol, got, sizeof(got));
		assert_memory_equal(got, len > DEMANGLE_MAX ? "_ZN1a" : "a::bb", 5);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(other_symbols_stay_as_they_are),
		cmocka_unit_test(cplusplus),
		cmocka_unit_test(rust),
		cmocka_unit_test(a_long_name_is_cut_and_says_so),
		cmocka_unit_test(a_symbol_that_stands_for_more_than_there_is_memory_ends_soon),
		cmocka_unit_test(a_symbol_that_is_too_long_is_not_tried),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
