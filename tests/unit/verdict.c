/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <string.h>

#include "tcp/verdict.h"

/* A server end that got a request of 100 bytes 5 s ago, and the FIN a second ago. */
static struct tcp_sample close_wait(void)
{
	return (struct tcp_sample){
		.state = TCPS_CLOSE_WAIT,
		.inode = 7,
		.has_info = true,
		.bytes_received = 101,
		.last_data_recv_ms = 5000,
		.last_ack_recv_ms = 1000,
		.rtt_ms = 1,
		.rto_ms = 200,
		.segs_in = 4,
	};
}

static const struct tcp_context one = { .processes = 1, .all_seen = true, .fin_timeout_ms = 60000 };
static const struct tcp_context nobody = { .all_seen = true, .fin_timeout_ms = 60000 };

static enum tcp_cause cause(const struct tcp_sample *s, const struct tcp_context *c)
{
	return tcp_verdict(s, c).cause;
}

static void names_read_back(void **state)
{
	for (int i = 0; i < TCP_CAUSE_COUNT; i++)
		assert_int_equal(tcp_cause_parse(tcp_cause_name((unsigned)i)), i);
	assert_int_equal(tcp_cause_parse("not_accepted"), TCP_CAUSE_NOT_ACCEPTED);
	assert_int_equal(tcp_cause_parse("unrea"), -1);
	assert_int_equal(tcp_cause_parse(""), -1);
	assert_string_equal(tcp_cause_name(99), "?");
	assert_string_equal(tcp_age_is_name(TCP_AGE_AT_LEAST), "at-least");
}

/* What lasts needs advice; what a program need not end has none to give but patience. */
static void every_finding_has_advice(void **state)
{
	for (unsigned i = 0; i < TCP_CAUSE_COUNT; i++)
		if (!(TCP_CAUSES_NORMAL & TCP_CAUSE_BIT(i)))
			assert_non_null(tcp_cause_advice(i));
}

static void unread_and_drained(void **state)
{
	struct tcp_sample s = close_wait();

	assert_int_equal(cause(&s, &one), TCP_CAUSE_DRAINED);
	s.recv_q = 1;
	assert_int_equal(cause(&s, &one), TCP_CAUSE_UNREAD);
	s.recv_q = 4000;
	assert_int_equal(cause(&s, &one), TCP_CAUSE_UNREAD);
}

static void never_told_without_proof(void **state)
{
	struct tcp_context c = one;
	struct tcp_sample s = close_wait();

	assert_int_not_equal(cause(&s, &c), TCP_CAUSE_TOLD);
	c.told = true;
	assert_int_equal(cause(&s, &c), TCP_CAUSE_TOLD);
}

static void holders_decide(void **state)
{
	struct tcp_context c = { .processes = 2, .all_seen = true };
	struct tcp_sample s = close_wait();

	assert_int_equal(cause(&s, &c), TCP_CAUSE_SHARED);
	assert_int_equal(cause(&s, &nobody), TCP_CAUSE_NO_DESCRIPTOR);
	c = (struct tcp_context){ 0 }; /* nobody found, but not everybody looked at */
	assert_int_equal(cause(&s, &c), TCP_CAUSE_DRAINED);
	s.inode = 0;
	assert_int_equal(cause(&s, &nobody), TCP_CAUSE_NOT_ACCEPTED);
	assert_int_equal(cause(&s, &one), TCP_CAUSE_NOT_ACCEPTED);
}

/* Experiment 2 and 4: the answer was sent before the FIN came. */
static void an_answer_before_the_fin_is_no_reply(void **state)
{
	struct tcp_sample s = close_wait();

	s.bytes_sent = 26;
	s.recv_q = 1;
	s.last_data_sent_ms = 1000;
	assert_int_equal(cause(&s, &one), TCP_CAUSE_UNREAD);
	assert_true(tcp_may_be_replying(&s));
	s.after_fin = TCP_AFTER_FIN_NOTHING;
	assert_int_equal(cause(&s, &one), TCP_CAUSE_UNREAD);
	assert_false(tcp_may_be_replying(&s));
}

/* Sent after the last ACK, and nothing waits for one: the holder sent while it was looked at. */
static void a_torn_sample_is_looked_at_again(void **state)
{
	struct tcp_sample s = close_wait();

	s.bytes_sent = 1;
	s.last_ack_recv_ms = 20;
	s.last_data_sent_ms = 9;
	assert_true(tcp_may_be_replying(&s));
	s.bytes_sent = 0;
	assert_false(tcp_may_be_replying(&s));
}

static void a_half_close_in_use_is_no_leak(void **state)
{
	struct tcp_context flowing = one;
	struct tcp_sample s = close_wait();

	s.send_q = 1;
	assert_int_equal(cause(&s, &one), TCP_CAUSE_REPLYING);
	s.send_q = 0;
	flowing.flowing = true;
	assert_int_equal(cause(&s, &flowing), TCP_CAUSE_REPLYING);
	s.bytes_sent = 100;
	s.last_data_sent_ms = 1020;
	s.after_fin = TCP_AFTER_FIN_SEGMENTS;
	assert_int_equal(cause(&s, &one), TCP_CAUSE_REPLYING);
	s.last_data_sent_ms = s.last_ack_recv_ms = 61000; /* it has stopped */
	s.last_data_recv_ms = 70000;
	assert_int_equal(cause(&s, &one), TCP_CAUSE_DRAINED);
}

/* Keep-alive answers come after the FIN, too, but long after what was sent last. */
static void keepalive_is_no_reply(void **state)
{
	struct tcp_sample s = close_wait();

	s.bytes_sent = 100;
	s.last_data_sent_ms = 4000;
	s.last_ack_recv_ms = 100;
	s.after_fin = TCP_AFTER_FIN_SEGMENTS;
	assert_int_equal(cause(&s, &one), TCP_CAUSE_DRAINED);
	assert_int_equal(tcp_verdict(&s, &one).age_is, TCP_AGE_AT_LEAST);
}

static void waiting_for_the_answer_is_no_leak(void **state)
{
	struct tcp_context flowing = one;
	struct tcp_sample s = close_wait();

	s.state = TCPS_FIN_WAIT2;
	assert_int_equal(cause(&s, &one), TCP_CAUSE_HALF_CLOSED_HERE);
	s.last_data_recv_ms = s.last_ack_recv_ms = 50;
	assert_int_equal(cause(&s, &one), TCP_CAUSE_HALF_CLOSED_HERE);
	assert_true(tcp_may_be_replying(&s));
	s.after_fin = TCP_AFTER_FIN_SEGMENTS;
	assert_int_equal(cause(&s, &one), TCP_CAUSE_REPLYING);
	s.recv_q = 4096; /* comes, but nobody reads it */
	assert_int_equal(cause(&s, &one), TCP_CAUSE_HALF_CLOSED_HERE);
	flowing.flowing = true;
	assert_int_equal(cause(&s, &flowing), TCP_CAUSE_REPLYING);
}

static void fin_wait_2_without_a_descriptor(void **state)
{
	struct tcp_sample s = { .state = TCPS_FIN_WAIT2,
				.timer = TCP_TIMER_TIME_WAIT,
				.timer_ms = 45000 };
	struct tcp_verdict v = tcp_verdict(&s, &nobody);

	assert_int_equal(v.cause, TCP_CAUSE_ORPHAN);
	assert_int_equal(v.age_ms, 15000);
	assert_int_equal(v.age_is, TCP_AGE_AT_LEAST);
	s.timer_ms = 61000; /* TCP_LINGER2 or a changed sysctl: nothing is known */
	assert_int_equal(tcp_verdict(&s, &nobody).age_is, TCP_AGE_UNKNOWN);
	s.inode = 9;
	assert_int_equal(cause(&s, &nobody), TCP_CAUSE_NO_DESCRIPTOR);
}

static void an_unanswered_fin(void **state)
{
	static const uint8_t states[] = { TCPS_FIN_WAIT1, TCPS_CLOSING, TCPS_LAST_ACK };

	for (unsigned i = 0; i < 3; i++) {
		struct tcp_sample s = { .state = states[i],
					.has_info = true,
					.send_q = 1,
					.timer = TCP_TIMER_RETRANSMIT,
					.timer_ms = 100,
					.rto_ms = 200,
					.snd_wnd = 65535 };
		struct tcp_verdict v = tcp_verdict(&s, &one);

		assert_int_equal(v.cause, TCP_CAUSE_CLOSING); /* a moment ago: no accusation */
		assert_int_equal(v.age_ms, 100);
		s.retransmits = 2;
		s.rto_ms = 800;
		s.timer_ms = 300;
		v = tcp_verdict(&s, &one);
		assert_int_equal(v.cause, TCP_CAUSE_PEER_GONE);
		assert_int_equal(v.age_ms, 500 + 400 + 200);
		assert_int_equal(v.age_is, TCP_AGE_AT_LEAST);
		s.send_q = 5001;
		s.timer = TCP_TIMER_PROBE;
		assert_int_equal(cause(&s, &one), TCP_CAUSE_SEND_BLOCKED);
		s.timer = TCP_TIMER_NONE;
		s.snd_wnd = 0;
		s.notsent_bytes = 5000;
		assert_int_equal(cause(&s, &one), TCP_CAUSE_SEND_BLOCKED);
	}
}

/* Each threshold, on both sides. */
static void one_byte_is_the_fin_itself(void **state)
{
	struct tcp_sample s = { .state = TCPS_FIN_WAIT1, .send_q = 1, .timer = TCP_TIMER_PROBE };

	assert_int_equal(cause(&s, &one), TCP_CAUSE_CLOSING);
	s.send_q = 2;
	assert_int_equal(cause(&s, &one), TCP_CAUSE_SEND_BLOCKED);
	s.timer = TCP_TIMER_RETRANSMIT;
	assert_int_equal(cause(&s, &one), TCP_CAUSE_CLOSING);
	s.retransmits = 1;
	assert_int_equal(cause(&s, &one), TCP_CAUSE_PEER_GONE);
}

static void a_timeout_is_at_most_two_minutes(void **state)
{
	struct tcp_sample s = { .state = TCPS_LAST_ACK,
				.has_info = true,
				.timer = TCP_TIMER_RETRANSMIT,
				.timer_ms = 20000,
				.rto_ms = 120000 };

	assert_int_equal(tcp_verdict(&s, &one).age_ms, 100000);
	assert_int_equal(tcp_verdict(&s, &one).age_is, TCP_AGE_AT_LEAST);
	s.rto_ms = 120001;
	assert_int_equal(tcp_verdict(&s, &one).age_is, TCP_AGE_UNKNOWN);
}

static void told_outranks_replying(void **state)
{
	struct tcp_context told = one;
	struct tcp_sample s = close_wait();

	s.send_q = 100;
	assert_int_equal(cause(&s, &one), TCP_CAUSE_REPLYING);
	told.told = true;
	assert_int_equal(cause(&s, &told), TCP_CAUSE_TOLD);
}

/* Sent `sent` ms ago, acknowledged by what came `ack` ms ago. */
static enum tcp_cause replied(uint32_t sent, uint32_t ack, uint32_t received)
{
	struct tcp_sample s = close_wait();

	s.after_fin = TCP_AFTER_FIN_SEGMENTS;
	s.bytes_sent = 100;
	s.last_data_sent_ms = sent;
	s.last_ack_recv_ms = ack;
	s.last_data_recv_ms = received;
	s.rtt_ms = 50;
	return cause(&s, &one);
}

static void an_ack_comes_within_two_round_trips(void **state)
{
	assert_int_equal(replied(1300, 1000, 5000), TCP_CAUSE_REPLYING); /* 2 * 50 + 200 */
	assert_int_equal(replied(1301, 1000, 5000), TCP_CAUSE_DRAINED);
	assert_int_equal(replied(990, 1000, 5000), TCP_CAUSE_REPLYING); /* a tick early */
	assert_int_equal(replied(989, 1000, 5000), TCP_CAUSE_DRAINED);
	assert_int_equal(replied(1000, 1000, 990), TCP_CAUSE_REPLYING); /* since the last data */
	assert_int_equal(replied(1000, 1000, 989), TCP_CAUSE_DRAINED);
	assert_int_equal(replied(60000, 60000, 70000), TCP_CAUSE_REPLYING);
	assert_int_equal(replied(60001, 60001, 70000), TCP_CAUSE_DRAINED);
	assert_int_equal(replied(1000, 1000, UINT32_MAX), TCP_CAUSE_REPLYING);
}

/* FIN_WAIT_2: the last that came was data, or was not. */
static void data_that_came_last_is_a_reply(void **state)
{
	struct tcp_sample s = close_wait();

	s.state = TCPS_FIN_WAIT2;
	s.after_fin = TCP_AFTER_FIN_SEGMENTS;
	s.last_data_recv_ms = 1010;
	assert_int_equal(cause(&s, &one), TCP_CAUSE_REPLYING);
	s.last_data_recv_ms = 1011;
	assert_int_equal(cause(&s, &one), TCP_CAUSE_HALF_CLOSED_HERE);
	s.last_data_recv_ms = s.last_ack_recv_ms = 60000;
	assert_int_equal(cause(&s, &one), TCP_CAUSE_REPLYING);
	s.last_data_recv_ms = s.last_ack_recv_ms = 60001;
	assert_int_equal(cause(&s, &one), TCP_CAUSE_HALF_CLOSED_HERE);
}

static enum tcp_age_is between(uint32_t ack, uint32_t received)
{
	struct tcp_sample s = close_wait();

	s.last_ack_recv_ms = ack;
	s.last_data_recv_ms = received;
	return tcp_verdict(&s, &one).age_is;
}

static void a_tick_apart_is_the_same(void **state)
{
	struct tcp_sample s = close_wait();

	assert_int_equal(between(1000, 1010), TCP_AGE_EXACT);
	assert_int_equal(between(1000, 1011), TCP_AGE_AT_LEAST);
	assert_int_equal(between(UINT32_MAX - 1, UINT32_MAX), TCP_AGE_EXACT);
	assert_int_equal(between(UINT32_MAX, UINT32_MAX), TCP_AGE_AT_LEAST);
	s.after_fin = TCP_AFTER_FIN_NOTHING; /* a sample says no more than 49.7 days */
	s.last_ack_recv_ms = UINT32_MAX;
	assert_int_equal(tcp_verdict(&s, &one).age_is, TCP_AGE_AT_LEAST);
	assert_true(tcp_verdict(&s, &one).age_ms == UINT32_MAX);
	s.last_ack_recv_ms--;
	assert_int_equal(tcp_verdict(&s, &one).age_is, TCP_AGE_EXACT);
}

static void dead_was_alive(void **state)
{
	struct tcp_sample s = { .state = TCPS_CLOSE, .inode = 3 };

	assert_int_equal(cause(&s, &one), TCP_CAUSE_NONE); /* socket(), nothing more */
	s.segs_in = 1;
	s.segs_out = 1;
	assert_int_equal(cause(&s, &one), TCP_CAUSE_NONE); /* connect() refused */
	s.segs_in = 2;
	assert_int_equal(cause(&s, &one), TCP_CAUSE_DEAD);
	assert_int_equal(tcp_verdict(&s, &one).age_is, TCP_AGE_UNKNOWN);
}

static void close_wait_age(void **state)
{
	struct tcp_sample s = close_wait();
	struct tcp_verdict v = tcp_verdict(&s, &one);

	assert_int_equal(v.age_ms, 1000);
	assert_int_equal(v.age_is, TCP_AGE_AT_LEAST);
	s.after_fin = TCP_AFTER_FIN_NOTHING;
	assert_int_equal(tcp_verdict(&s, &one).age_is, TCP_AGE_EXACT);
	s.after_fin = TCP_AFTER_FIN_UNKNOWN;
	s.last_data_recv_ms = 1004; /* FIN and data in one segment, or next to it */
	assert_int_equal(tcp_verdict(&s, &one).age_is, TCP_AGE_EXACT);
	s.has_info = false;
	assert_int_equal(tcp_verdict(&s, &one).age_is, TCP_AGE_UNKNOWN);
}

static void time_wait_age(void **state)
{
	struct tcp_sample s = { .state = TCPS_TIME_WAIT,
				.timer = TCP_TIMER_TIME_WAIT,
				.timer_ms = 59000 };
	struct tcp_verdict v = tcp_verdict(&s, &nobody);

	assert_int_equal(v.cause, TCP_CAUSE_TIME_WAIT);
	assert_int_equal(v.age_ms, 1000);
}

/* An idle pooled connection, a listener, a handshake: nothing to say. */
static void healthy_states_have_no_cause(void **state)
{
	static const uint8_t states[] = { TCPS_ESTABLISHED, TCPS_LISTEN, TCPS_SYN_SENT,
					  TCPS_SYN_RECV, TCPS_GONE };

	for (unsigned i = 0; i < sizeof(states); i++) {
		struct tcp_sample s = close_wait();

		s.state = states[i];
		assert_int_equal(cause(&s, &one), TCP_CAUSE_NONE);
		assert_int_equal(cause(&s, &nobody), TCP_CAUSE_NONE);
	}
}

static void evidence_is_given_for_every_cause(void **state)
{
	struct tcp_evidence e[TCP_EVIDENCE_MAX];
	struct tcp_sample s = close_wait();

	for (uint8_t i = TCP_CAUSE_UNREAD; i < TCP_CAUSE_COUNT; i++) {
		struct tcp_verdict v = { .cause = i };
		size_t n = tcp_evidence(&s, &v, &one, e);

		assert_in_range(n, 1, TCP_EVIDENCE_MAX);
		for (size_t k = 0; k < n; k++)
			assert_true(strlen(e[k].name) > 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_read_back),
		cmocka_unit_test(every_finding_has_advice),
		cmocka_unit_test(unread_and_drained),
		cmocka_unit_test(never_told_without_proof),
		cmocka_unit_test(holders_decide),
		cmocka_unit_test(an_answer_before_the_fin_is_no_reply),
		cmocka_unit_test(a_half_close_in_use_is_no_leak),
		cmocka_unit_test(keepalive_is_no_reply),
		cmocka_unit_test(waiting_for_the_answer_is_no_leak),
		cmocka_unit_test(fin_wait_2_without_a_descriptor),
		cmocka_unit_test(an_unanswered_fin),
		cmocka_unit_test(one_byte_is_the_fin_itself),
		cmocka_unit_test(a_timeout_is_at_most_two_minutes),
		cmocka_unit_test(told_outranks_replying),
		cmocka_unit_test(an_ack_comes_within_two_round_trips),
		cmocka_unit_test(data_that_came_last_is_a_reply),
		cmocka_unit_test(a_torn_sample_is_looked_at_again),
		cmocka_unit_test(a_tick_apart_is_the_same),
		cmocka_unit_test(dead_was_alive),
		cmocka_unit_test(close_wait_age),
		cmocka_unit_test(time_wait_age),
		cmocka_unit_test(healthy_states_have_no_cause),
		cmocka_unit_test(evidence_is_given_for_every_cause),
	};

	return cmocka_run_group_tests_name("verdict", tests, NULL, NULL);
}
