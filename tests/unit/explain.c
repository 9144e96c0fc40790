/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "tcp/explain.h"
#include "tcp/verdict.h"

static void every_state_and_cause_is_explained(void **state)
{
	for (unsigned s = 0; s < TCPS_NEW_SYN_RECV; s++) {
		const struct explain *x = explain_find(tcp_state_name(s));

		assert_non_null(x);
		assert_string_equal(x->name, tcp_state_name(s));
	}
	for (size_t i = 0; explain_causes(i); i++)
		assert_ptr_equal(explain_cause(explain_causes(i)->name), explain_causes(i));
	for (unsigned c = TCP_CAUSE_NONE + 1; c < TCP_CAUSE_COUNT; c++)
		assert_non_null(explain_cause(tcp_cause_name(c)));
	assert_ptr_equal(explain_find("Close-Wait"), explain_find("CLOSE_WAIT"));
	assert_ptr_equal(explain_find("HALF_CLOSED_HERE"), explain_find("half-closed-here"));
	assert_ptr_equal(explain_find("time-wait"), explain_find("TIME_WAIT"));
	assert_string_equal(explain_cause("TIME_WAIT")->name, "time-wait");
	assert_null(explain_find("closed-wait"));
	assert_null(explain_find(""));
}

static void assert_sentence(const char *text)
{
	size_t n = strlen(text);

	assert_true(n > 5 && text[n - 1] == '.');
	for (size_t i = 0; i < n; i++)
		assert_in_range(text[i], ' ', '~');
	assert_null(strstr(text, "  "));
}

static void texts_are_whole_sentences(void **state)
{
	for (size_t i = 0; explain_states(i) || explain_causes(i); i++) {
		const struct explain *both[] = { explain_states(i), explain_causes(i) };

		for (size_t k = 0; k < 2; k++) {
			if (!both[k])
				continue;
			assert_sentence(both[k]->what);
			assert_sentence(both[k]->keeps);
			assert_sentence(both[k]->ends);
			assert_sentence(both[k]->act);
		}
	}
}

struct end_case {
	struct tl_end end;
	enum tl_side side;
	const char *text;
};

/* clang-format off */
static const struct end_case ends[] = {
	{ { .sample = { .state = TCPS_GONE } }, TL_SERVER, "Nothing is left of the server's end." },
	{ { .sample = { .state = TCPS_FIN_WAIT2, .timer = TCP_TIMER_TIME_WAIT, .timer_ms = 59900 } }, TL_CLIENT,
	  "The client is done: its socket is an orphan, dropped in 59.9 s unless the server closes first." },
	{ { .sample = { .state = TCPS_FIN_WAIT2, .inode = 7 }, .holders_known = true, .nholders = 1,
	    .holders = { { 71, 3, "daytime" } } }, TL_CLIENT,
	  "The client has closed its sending side and still holds the socket (daytime[71], fd 3): no timer "
	  "runs. The server has to close." },
	{ { .sample = { .state = TCPS_CLOSE_WAIT, .inode = 7, .recv_q = 1 }, .holders_known = true,
	    .nholders = 1, .holders = { { 70, 5, "daytimed" } } }, TL_SERVER,
	  "The server holds the connection open: daytimed[70], fd 5, has not read the FIN. No timer runs: "
	  "the server has to close, or exit." },
	{ { .sample = { .state = TCPS_CLOSE_WAIT, .inode = 7, .recv_q = 26 }, .holders_known = true,
	    .nholders = 1, .holders = { { 70, 5, "daytimed" } } }, TL_SERVER,
	  "The server holds the connection open: daytimed[70], fd 5, has not read 25 bytes and the FIN. No "
	  "timer runs: the server has to close, or exit." },
	{ { .sample = { .state = TCPS_CLOSE_WAIT, .inode = 7 }, .holders_known = true, .told = true,
	    .nholders = 1, .holders = { { 71, 3, "daytime" } } }, TL_CLIENT,
	  "The client holds the connection open: daytime[71], fd 3, has read the end of the stream and not "
	  "closed. No timer runs: the client has to close, or exit." },
	{ { .sample = { .state = TCPS_CLOSE_WAIT, .inode = 7 }, .holders_known = true, .nholders = 1,
	    .holders = { { 71, 3, "daytime" } } }, TL_CLIENT,
	  "The client holds the connection open: daytime[71], fd 3, has taken all that came and not closed. "
	  "No timer runs: the client has to close, or exit." },
	{ { .sample = { .state = TCPS_CLOSE_WAIT, .inode = 7 }, .holders_known = true, .nholders = 3,
	    .holders = { { 1, 3, "a" }, { 2, 3, "b" }, { 3, 4, "c" } } }, TL_SERVER,
	  "The server holds the connection open: a[1], fd 3; b[2], fd 3, and c[3], fd 4; all of them have to "
	  "close. No timer runs: the server has to close, or exit." },
	{ { .sample = { .state = TCPS_CLOSE_WAIT, .inode = 7, .recv_q = 1, .timer = TCP_TIMER_KEEPALIVE,
	    .timer_ms = 900 }, .holders_known = true, .nholders = 1, .holders = { { 70, 5, "daytimed" } } }, TL_SERVER,
	  "The server holds the connection open: daytimed[70], fd 5, has not read the FIN; keepalive asks the "
	  "client's host in 900 ms, and ends it only where that knows it no more: the server has to close, or "
	  "exit." },
	{ { .sample = { .state = TCPS_CLOSE_WAIT, .inode = 7, .recv_q = 1, .timer = TCP_TIMER_PROBE },
	    .holders_known = true, .nholders = 1, .holders = { { 70, 5, "daytimed" } } }, TL_SERVER,
	  "The server holds the connection open: daytimed[70], fd 5, has not read the FIN; the timer that runs "
	  "is for what was sent: the server has to close, or exit." },
	{ { .sample = { .state = TCPS_FIN_WAIT2, .inode = 7, .timer = TCP_TIMER_KEEPALIVE, .timer_ms = 1000 },
	    .holders_known = true, .nholders = 1, .holders = { { 71, 3, "daytime" } } }, TL_CLIENT,
	  "The client has closed its sending side and still holds the socket (daytime[71], fd 3): keepalive "
	  "asks the server's host in 1 s, and ends it only where that knows it no more. The server has to "
	  "close." },
	{ { .sample = { .state = TCPS_CLOSE_WAIT } }, TL_SERVER,
	  "The server has not accepted the connection, and the client has closed it: it stays in the accept "
	  "queue. The server has to accept and close." },
	{ { .sample = { .state = TCPS_CLOSE_WAIT, .inode = 7 } }, TL_CLIENT,
	  "The client holds the connection open: a process has taken all that came and not closed. No timer "
	  "runs: the client has to close, or exit." },
	{ { .sample = { .state = TCPS_LAST_ACK, .timer = TCP_TIMER_RETRANSMIT, .timer_ms = 200 } }, TL_SERVER,
	  "The server has closed, and its FIN is not acknowledged; sent again in 200 ms. The client's host "
	  "has to answer." },
	{ { .sample = { .state = TCPS_CLOSING, .timer = TCP_TIMER_RETRANSMIT, .timer_ms = 800,
	    .retransmits = 2 } }, TL_CLIENT,
	  "The client has closed, and its FIN is not acknowledged; sent again 2 times, next in 800 ms. The "
	  "server's host has to answer." },
	{ { .sample = { .state = TCPS_FIN_WAIT1, .timer = TCP_TIMER_PROBE, .send_q = 101 } }, TL_CLIENT,
	  "The client has closed, and its FIN waits behind 100 bytes: the server's window is shut. The "
	  "server has to read." },
	{ { .sample = { .state = TCPS_TIME_WAIT, .timer = TCP_TIMER_TIME_WAIT, .timer_ms = 60000 } }, TL_SERVER,
	  "The server is done: its TIME_WAIT ends by itself in 60 s. Nobody has to act." },
	{ { .sample = { .state = TCPS_ESTABLISHED } }, TL_SERVER,
	  "The server has not accepted the connection yet." },
	{ { .sample = { .state = TCPS_CLOSE, .inode = 7 }, .holders_known = true, .nholders = 1,
	    .holders = { { 70, 5, "\033[1m" } } }, TL_SERVER,
	  "The server's connection is dead, reset or given up, but \\x1b[1m[70], fd 5, still holds the socket: "
	  "only its close frees it." },
};
/* clang-format on */

static void an_end_is_told_in_a_sentence(void **state)
{
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct buf b = { 0 };

		explain_end(&b, &ends[i].end, ends[i].side, true);
		assert_string_equal(b.data, ends[i].text);
		buf_free(&b);
	}
}

static void the_other_end_is_known(void **state)
{
	struct tl_observation seen = { 0 };
	struct buf b = { 0 };

	seen.ends[TL_CLIENT].sample.state = TCPS_SYN_SENT;
	explain_observed(&b, &seen, TL_SERVER, true);
	assert_string_equal(b.data, "The server's kernel has made no connection of it.");
	buf_free(&b);
	seen.ends[TL_CLIENT].sample.state = TCPS_LAST_ACK;
	seen.ends[TL_CLIENT].sample.timer = TCP_TIMER_RETRANSMIT;
	explain_observed(&b, &seen, TL_CLIENT, true);
	assert_non_null(strstr(b.data, "not acknowledged; sent again now."));
	buf_free(&b);
}

static void every_state_has_a_sentence(void **state)
{
	for (unsigned s = 0; s < TCPS_COUNT; s++) {
		struct tl_end end = { .sample = { .state = (uint8_t)s } };
		struct buf b = { 0 };

		explain_end(&b, &end, TL_CLIENT, false);
		assert_sentence(b.data);
		buf_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_state_and_cause_is_explained),
		cmocka_unit_test(texts_are_whole_sentences),
		cmocka_unit_test(an_end_is_told_in_a_sentence),
		cmocka_unit_test(the_other_end_is_known),
		cmocka_unit_test(every_state_has_a_sentence),
	};

	return cmocka_run_group_tests_name("explain", tests, NULL, NULL);
}
