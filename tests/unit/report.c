/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "report/list.h"
#include "report/story.h"
#include "report/style.h"
#include "report/xml.h"
#include "tests/lib/fake_run.h"

/* Rows of a kind, and how many events the folded ones stand for. */
static size_t count_rows(const struct story *s, uint8_t kind, uint32_t *events)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		n += s->rows[i].kind == kind;
		if (events && s->rows[i].kind == kind)
			*events += s->rows[i].count;
	}
	return n;
}

/* Rows of changes by a timer; others of that kind go before the row of their event. */
static uint32_t timers(const struct story *s, const struct tl_run *run)
{
	uint32_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		n += s->rows[i].kind == STORY_STATE &&
		     run->events[s->rows[i].event].kind == TL_STATE;
	return n;
}

static void every_event_is_shown_or_counted(void **state)
{
	for (size_t i = 0; fake_run_name(i); i++) {
		struct tl_run *run = fake_run(fake_run_name(i));
		struct story s;
		uint32_t folded = 0, shown;

		assert_int_equal(story_tell(&s, run), 0);
		shown = timers(&s, run);
		shown += (uint32_t)(count_rows(&s, STORY_PACKET, NULL) +
				    count_rows(&s, STORY_CALL, NULL) +
				    count_rows(&s, STORY_STEP, NULL) +
				    count_rows(&s, STORY_OBSERVE, NULL));
		count_rows(&s, STORY_FOLD, &folded);
		assert_int_equal(shown + folded, run->nevents);
		story_free(&s);
		free(run);
	}
}

static void every_expectation_has_one_place(void **state)
{
	for (size_t i = 0; fake_run_name(i); i++) {
		struct tl_run *run = fake_run(fake_run_name(i));
		uint32_t next = 0;
		struct story s;

		assert_int_equal(story_tell(&s, run), 0);
		for (size_t r = 0; r < s.n; r++) {
			if (!s.rows[r].nexpects)
				continue;
			assert_int_equal(s.rows[r].first_expect, next);
			next += s.rows[r].nexpects;
		}
		assert_int_equal(next, run->nexpects);
		story_free(&s);
		free(run);
	}
}

/* A state change is never folded away: following the rows gives the record's own sequence. */
static void no_state_is_skipped(void **state)
{
	struct tl_run *run = fake_run("lost-fin");
	uint8_t last[2] = { TCPS_GONE, TCPS_GONE };
	struct story s;

	assert_int_equal(story_tell(&s, run), 0);
	for (size_t r = 0; r < s.n; r++) {
		for (unsigned side = 0; side < 2; side++) {
			assert_int_equal(s.rows[r].changed[side],
					 s.rows[r].state[side] != last[side]);
			last[side] = s.rows[r].state[side];
		}
	}
	for (unsigned side = 0; side < 2; side++)
		assert_int_equal(last[side], run->events[run->nevents - 1].after[side].state);
	story_free(&s);
	free(run);
}

static struct tl_event *add_call(struct tl_run *run, uint8_t before, uint8_t after)
{
	struct tl_event *v = &run->events[run->nevents++];

	v->kind = TL_CALL;
	v->t_us = 5000 + run->nevents;
	v->before[0].state = before;
	v->after[0].state = after;
	return v;
}

/* The end had changed already before the event that changes it again: two rows. */
static void a_change_before_the_event_has_its_own_row(void **state)
{
	struct tl_run *run = calloc(1, sizeof(*run));
	struct story s;

	run->nconns = 1;
	add_call(run, TCPS_GONE, TCPS_SYN_SENT);
	add_call(run, TCPS_ESTABLISHED, TCPS_FIN_WAIT1);
	assert_int_equal(story_tell(&s, run), 0);
	assert_int_equal(s.n, 3);
	assert_int_equal(s.rows[1].kind, STORY_STATE);
	assert_int_equal(s.rows[1].state[0], TCPS_ESTABLISHED);
	assert_int_equal(s.rows[2].state[0], TCPS_FIN_WAIT1);
	assert_int_equal(s.rows[0].t_us, 0); /* times count from the first event */
	story_free(&s);
	free(run);
}

/* A packet from nobody goes to the host that its IP header names, of either family. */
static void a_made_up_packet_goes_where_its_header_says(void **state)
{
	struct tl_run *run = calloc(1, sizeof(*run));
	struct tl_event *v = &run->events[0];
	struct story s;

	run->nconns = 1;
	run->nevents = 1;
	v->kind = TL_PACKET;
	v->from = TL_NOBODY;
	v->packet.fate = TL_INJECTED;
	tcp_addr_parse_host(&run->host[0], "fd00::1");
	tcp_addr_parse_host(&run->host[1], "fd00::2");
	run->frames_len = v->packet.frame_len = 74;
	run->frames[14] = 0x60;
	for (unsigned side = 0; side < 2; side++) {
		memcpy(run->frames + 14 + 24, run->host[side].bytes, 16);
		assert_int_equal(story_tell(&s, run), 0);
		assert_int_equal(s.rows[0].to, side);
		story_free(&s);
	}
	v->packet.frame_len = 40; /* cut short: nothing behind the frame is read */
	assert_int_equal(story_tell(&s, run), 0);
	assert_int_equal(s.rows[0].to, TL_SERVER);
	story_free(&s);
	free(run);
}

/* The last look says nothing new where nothing has happened since the one before. */
static void a_look_that_repeats_is_left_out(void **state)
{
	struct tl_run *run = calloc(1, sizeof(*run));
	struct story s;

	run->nconns = 1;
	run->nevents = run->nobservations = 2;
	run->events[0].kind = run->events[1].kind = TL_OBSERVE;
	run->events[1].observation = 1;
	assert_int_equal(story_tell(&s, run), 0);
	assert_int_equal(s.n, 1);
	story_free(&s);
	run->observations[1].ends[0].sample.state = TCPS_TIME_WAIT;
	assert_int_equal(story_tell(&s, run), 0);
	assert_int_equal(s.n, 2);
	story_free(&s);
	free(run);
}

static void assert_wrapped(const char *text, unsigned indent, unsigned width, const char *want)
{
	struct buf b = { 0 };

	style_wrap(&b, text, indent, width);
	assert_string_equal(b.data, want);
	buf_free(&b);
}

static void text_is_wrapped_at_spaces(void **state)
{
	assert_wrapped("", 0, 10, "\n");
	assert_wrapped("one two three", 2, 8, "one two\n  three\n");
	assert_wrapped("one two", 0, 7, "one two\n");
	assert_wrapped("one two", 0, 6, "one\ntwo\n");
	assert_wrapped("incomprehensible word", 1, 5, "incomprehensible\n word\n");
	assert_wrapped("\u00a7\u00a7\u00a7 \u00a7\u00a7\u00a7", 0, 7,
		       "\u00a7\u00a7\u00a7 \u00a7\u00a7\u00a7\n");
	assert_wrapped("a  b ", 0, 9, "a b\n");
}

static void xml_has_only_text(void **state)
{
	struct buf b = { 0 };

	xml_text(&b, "<a href='x'>\"&amp;\"</a>");
	assert_string_equal(b.data, "&lt;a href=&#39;x&#39;&gt;&quot;&amp;amp;&quot;&lt;/a&gt;");
	buf_free(&b);
	xml_field(&b, "\033<\xff", 3);
	assert_string_equal(b.data, "\\x1b&lt;\\xff");
	buf_free(&b);
}

static void assert_call(const struct tl_call *c, const char *want)
{
	struct buf b = { 0 };

	story_call_text(&b, c, true);
	assert_string_equal(b.data, want);
	buf_free(&b);
}

static void calls_are_said(void **state)
{
	assert_call(&(struct tl_call){ "close", .returned = true }, "close");
	assert_call(&(struct tl_call){ "read", "25 bytes", .returned = true, .result = 25 },
		    "read 25 bytes");
	assert_call(&(struct tl_call){ "read", .returned = true, .result = 1 }, "read 1 byte");
	assert_call(&(struct tl_call){ "read", "end of stream", .returned = true },
		    "read: end of stream");
	assert_call(&(struct tl_call){ "write", .returned = true, .result = -32 }, "write: EPIPE");
	assert_call(&(struct tl_call){ "write", .returned = true, .result = -99999 },
		    "write: failed");
	assert_call(&(struct tl_call){ "exit", .returned = true, .result = 3 }, "exit 3");
	assert_call(&(struct tl_call){ "accept" }, "accept \u2026");
	assert_call(&(struct tl_call){ "shutdown", "SHUT_WR", .returned = true },
		    "shutdown SHUT_WR");
}

static void what_was_not_seen_is_named(void **state)
{
	struct census c = { .limits = { .netns_untold = 4, .netns_untold_pid = { 7, 8, 9, 10 } } };
	struct buf b = { 0 };

	c.limits.privileged = true;
	assert_true(list_unseen_line(&b, &c));
	assert_string_equal(b.data,
			    "other network namespaces in which 4 processes may be (7, 8, 9, 10)");
	b.len = 0;
	c.limits.netns_untold = 1;
	assert_true(list_unseen_line(&b, &c));
	assert_string_equal(b.data, "other network namespaces in which 1 process may be (7)");
	b.len = 0;
	c.limits.netns_untold = 5; /* not all are known */
	c.limits.privileged = false;
	assert_true(list_unseen_line(&b, &c));
	assert_string_equal(b.data, "other network namespaces in which 5 processes may be; "
				    "run as root to see all");
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_not_seen_is_named),
		cmocka_unit_test(every_event_is_shown_or_counted),
		cmocka_unit_test(every_expectation_has_one_place),
		cmocka_unit_test(no_state_is_skipped),
		cmocka_unit_test(a_change_before_the_event_has_its_own_row),
		cmocka_unit_test(a_made_up_packet_goes_where_its_header_says),
		cmocka_unit_test(a_look_that_repeats_is_left_out),
		cmocka_unit_test(text_is_wrapped_at_spaces),
		cmocka_unit_test(xml_has_only_text),
		cmocka_unit_test(calls_are_said),
	};

	return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
