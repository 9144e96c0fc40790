/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "tcp/addr.h"
#include "tcp/state.h"

static void names_read_back(void **state)
{
	for (unsigned s = 0; s < TCPS_NEW_SYN_RECV; s++)
		assert_int_equal(tcp_state_parse(tcp_state_name(s)), (int)s);
	assert_int_equal(tcp_state_parse("close-wait"), TCPS_CLOSE_WAIT);
	assert_int_equal(tcp_state_parse("ESTAB"), TCPS_ESTABLISHED);
	assert_int_equal(tcp_state_parse("FIN-WAIT-2"), TCPS_FIN_WAIT2);
	assert_int_equal(tcp_state_parse("fin_wait2"), TCPS_FIN_WAIT2);
	assert_int_equal(tcp_state_parse("CLOSE_WAI"), -1);
	assert_int_equal(tcp_state_parse("CLOSE_WAITS"), -1);
	assert_int_equal(tcp_state_parse(""), -1);
	assert_string_equal(tcp_state_name(99), "?");
}

static void the_diagram_is_kept(void **state)
{
	assert_true(tcp_transition_is_legal(TCPS_SYN_SENT, TCPS_ESTABLISHED));
	assert_true(tcp_transition_is_legal(TCPS_ESTABLISHED, TCPS_FIN_WAIT1));
	assert_true(tcp_transition_is_legal(TCPS_FIN_WAIT1, TCPS_FIN_WAIT2));
	assert_true(tcp_transition_is_legal(TCPS_FIN_WAIT1, TCPS_CLOSING));
	assert_true(tcp_transition_is_legal(TCPS_FIN_WAIT1, TCPS_TIME_WAIT));
	assert_true(tcp_transition_is_legal(TCPS_CLOSE_WAIT, TCPS_LAST_ACK));
	assert_true(tcp_transition_is_legal(TCPS_LAST_ACK, TCPS_GONE));
	assert_true(tcp_transition_is_legal(TCPS_NEW_SYN_RECV, TCPS_ESTABLISHED));
	assert_true(tcp_transition_is_legal(TCPS_CLOSE_WAIT, TCPS_GONE)); /* a reset */
	assert_false(tcp_transition_is_legal(TCPS_CLOSE_WAIT, TCPS_TIME_WAIT));
	assert_false(tcp_transition_is_legal(TCPS_ESTABLISHED, TCPS_TIME_WAIT));
	assert_false(tcp_transition_is_legal(TCPS_FIN_WAIT2, TCPS_CLOSE_WAIT));
	assert_false(tcp_transition_is_legal(TCPS_LAST_ACK, TCPS_TIME_WAIT));
	assert_false(tcp_transition_is_legal(TCPS_GONE, TCPS_ESTABLISHED));
	assert_false(tcp_transition_is_legal(TCPS_ESTABLISHED, 77));
}

static void addresses_are_written(void **state)
{
	struct tcp_addr a = { 0 }, b;
	struct sockaddr_in6 in6;
	char text[TCP_ADDR_TEXT];

	assert_int_equal(tcp_addr_parse_host(&a, "10.0.0.1"), 0);
	a.port = 13;
	assert_string_equal(tcp_addr_text(&a, text), "10.0.0.1:13");
	assert_int_equal(tcp_addr_parse_host(&a, "fd00::1"), 0);
	a.port = 65535;
	assert_string_equal(tcp_addr_text(&a, text), "[fd00::1]:65535");
	assert_string_equal(tcp_addr_host_text(&a, text), "fd00::1");
	assert_int_equal(tcp_addr_to_sockaddr(&a, &in6, sizeof(in6)), sizeof(in6));
	assert_int_equal(tcp_addr_from_sockaddr(&b, &in6, sizeof(in6)), 0);
	assert_true(tcp_addr_equal(&a, &b));
	assert_int_equal(tcp_addr_from_sockaddr(&b, &in6, 8), -EAFNOSUPPORT);
	assert_int_equal(tcp_addr_parse_host(&a, "10.0.0"), -EINVAL);
	assert_int_equal(a.port, 65535); /* untouched */
	assert_int_equal(tcp_addr_parse_host(&a, "::ffff:1.2.3.4"), 0);
	assert_true(tcp_addr_is_v4mapped(&a));
	assert_int_equal(tcp_addr_parse_host(&a, "0.0.0.0"), 0);
	assert_string_equal(tcp_addr_text(&a, text), "*:0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_read_back),
		cmocka_unit_test(the_diagram_is_kept),
		cmocka_unit_test(addresses_are_written),
	};

	return cmocka_run_group_tests_name("tcp_state", tests, NULL, NULL);
}
