/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <string.h>

#include "base/err.h"
#include "tcp/timeline.h"

static struct tl_run run;

static void add(enum tl_kind kind, uint16_t conn, const uint8_t before[2], const uint8_t after[2])
{
	struct tl_event *v = &run.events[run.nevents++];

	*v = (struct tl_event){ .kind = (uint8_t)kind, .conn = conn };
	for (int side = 0; side < 2; side++) {
		v->before[side].state = before[side];
		v->after[side].state = after[side];
	}
	run.nconns = conn + 1u > run.nconns ? conn + 1u : run.nconns;
}

#define STATES(a, b)      \
	(const uint8_t[]) \
	{                 \
		a, b      \
	}

static int start(void **state)
{
	memset(&run, 0, sizeof(run));
	add(TL_PACKET, 0, STATES(TCPS_SYN_SENT, TCPS_GONE), STATES(TCPS_SYN_SENT, TCPS_SYN_RECV));
	add(TL_PACKET, 0, STATES(TCPS_SYN_SENT, TCPS_SYN_RECV),
	    STATES(TCPS_ESTABLISHED, TCPS_SYN_RECV));
	add(TL_PACKET, 0, STATES(TCPS_ESTABLISHED, TCPS_SYN_RECV),
	    STATES(TCPS_ESTABLISHED, TCPS_ESTABLISHED));
	return 0;
}

static void a_legal_run_is_legal(void **state)
{
	struct err e = { 0 };

	add(TL_PACKET, 0, STATES(TCPS_FIN_WAIT1, TCPS_ESTABLISHED),
	    STATES(TCPS_FIN_WAIT1, TCPS_CLOSE_WAIT));
	add(TL_STEP, TL_NO_CONN, STATES(0, 0), STATES(0, 0));
	add(TL_PACKET, 0, STATES(TCPS_FIN_WAIT1, TCPS_CLOSE_WAIT),
	    STATES(TCPS_FIN_WAIT2, TCPS_CLOSE_WAIT));
	run.nconns = 1;
	assert_true(tl_run_is_legal(&run, &e));
}

static void a_leap_is_found(void **state)
{
	struct err e = { 0 };

	add(TL_CALL, 0, STATES(TCPS_ESTABLISHED, TCPS_ESTABLISHED),
	    STATES(TCPS_FIN_WAIT2, TCPS_ESTABLISHED));
	assert_false(tl_run_is_legal(&run, &e));
	assert_string_equal(e.text, "event 3: the client went from ESTABLISHED to FIN_WAIT_2");
}

static void a_leap_between_events_is_found(void **state)
{
	struct err e = { 0 };

	add(TL_CALL, 0, STATES(TCPS_ESTABLISHED, TCPS_LAST_ACK),
	    STATES(TCPS_ESTABLISHED, TCPS_LAST_ACK));
	assert_false(tl_run_is_legal(&run, &e));
	assert_string_equal(e.text, "event 3: the server went from ESTABLISHED to LAST_ACK");
}

static void connections_are_judged_apart(void **state)
{
	struct err e = { 0 };

	add(TL_PACKET, 1, STATES(TCPS_SYN_SENT, TCPS_GONE), STATES(TCPS_SYN_SENT, TCPS_SYN_RECV));
	add(TL_PACKET, 0, STATES(TCPS_FIN_WAIT1, TCPS_ESTABLISHED),
	    STATES(TCPS_FIN_WAIT1, TCPS_CLOSE_WAIT));
	assert_true(tl_run_is_legal(&run, &e));
}

static void flags_are_named_in_order(void **state)
{
	char text[TL_FLAGS_TEXT];

	assert_string_equal(tl_flags_text(TL_SYN | TL_ACK, text), "SYN ACK");
	assert_string_equal(tl_flags_text(TL_FIN | TL_PSH | TL_ACK, text), "FIN PSH ACK");
	assert_string_equal(tl_flags_text(0xff, text), "SYN FIN RST PSH URG ECE CWR ACK");
	assert_string_equal(tl_flags_text(0, text), "");
}

static void an_orphan_has_no_descriptor(void **state)
{
	struct tcp_sample s = { .state = TCPS_FIN_WAIT2, .recv_q = 3, .timer_ms = 60000 };

	assert_true(tl_state_of(&s).orphan);
	assert_int_equal(tl_state_of(&s).timer_ms, 60000);
	s.inode = 9;
	assert_false(tl_state_of(&s).orphan);
	s = (struct tcp_sample){ .state = TCPS_GONE };
	assert_false(tl_state_of(&s).orphan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_legal_run_is_legal, start),
		cmocka_unit_test_setup(a_leap_is_found, start),
		cmocka_unit_test_setup(a_leap_between_events_is_found, start),
		cmocka_unit_test_setup(connections_are_judged_apart, start),
		cmocka_unit_test(flags_are_named_in_order),
		cmocka_unit_test(an_orphan_has_no_descriptor),
	};

	return cmocka_run_group_tests_name("timeline", tests, NULL, NULL);
}
