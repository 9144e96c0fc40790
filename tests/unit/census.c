/* SPDX-License-Identifier: MIT */
/* What joins the kernel's answers: the map, listeners, the builder, filters, the summary. */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/map.h"
#include "doctor/builder.h"
#include "doctor/filter.h"
#include "tcp/summary.h"

static void map_keeps_what_it_is_given(void **state)
{
	struct map m = { 0 };

	assert_int_equal(map_get(&m, 1), MAP_NONE);
	for (uint32_t i = 0; i < 10000; i++)
		assert_int_equal(map_put(&m, (uint64_t)i * 0x100000001ull, i), 0);
	for (uint32_t i = 0; i < 10000; i++)
		assert_int_equal(map_get(&m, (uint64_t)i * 0x100000001ull), i);
	assert_int_equal(map_get(&m, 5), MAP_NONE);
	assert_int_equal(map_put(&m, 0, 77), 0);
	assert_int_equal(map_get(&m, 0), 77);
	assert_int_equal(m.n, 10000);
	map_free(&m);
	assert_int_equal(map_get(&m, 0), MAP_NONE);
}

static struct tcp_addr addr(const char *host, uint16_t port)
{
	struct tcp_addr a;

	assert_int_equal(tcp_addr_parse_host(&a, host), 0);
	a.port = port;
	return a;
}

static struct tcp_sample end(uint8_t state, uint64_t cookie, uint32_t inode)
{
	return (struct tcp_sample){ .state = state,
				    .cookie = cookie,
				    .inode = inode,
				    .local = addr("10.0.0.1", 80),
				    .peer = addr("10.0.0.2", 40000),
				    .has_info = true,
				    .last_ack_recv_ms = 5000,
				    .last_data_recv_ms = 5000 };
}

static void start(struct builder *b, struct census *c)
{
	struct netns v[2] = { { .ino = 111 }, { .ino = 222, .name = "blue" } };
	struct netns_list spaces = { .v = v, .n = 2 };

	*c = (struct census){ 0 };
	assert_int_equal(builder_start(b, c, &spaces), 0);
	b->inodes = true;
	b->states = TCP_HALF_CLOSED | TCP_BIT(TCPS_TIME_WAIT) | TCP_BIT(TCPS_CLOSE);
	c->netns[0].port_lo = 32768;
	c->netns[0].port_hi = 60999;
}

static void put(struct builder *b, struct tcp_sample s, uint32_t netns)
{
	assert_int_equal(builder_socket(b, &s, netns), 0);
}

static void holders_lie_side_by_side(void **state)
{
	struct builder_who one = { 2000001, "one" }, two = { 2000002, "two" };
	struct builder b;
	struct census c;

	start(&b, &c);
	put(&b, end(TCPS_CLOSE_WAIT, 1, 11), 0);
	put(&b, end(TCPS_CLOSE_WAIT, 2, 12), 0);
	put(&b, end(TCPS_LISTEN, 3, 13), 0);
	put(&b, end(TCPS_ESTABLISHED, 4, 14), 0);
	assert_int_equal(builder_holder_of_inode(&b, 11, &one, 5), 1);
	assert_int_equal(builder_holder_of_inode(&b, 12, &one, 6), 1);
	assert_int_equal(builder_holder_of(&b, map_get(&b.by_cookie, 3), &one, 7), 1);
	assert_int_equal(builder_holder_of_inode(&b, 14, &one, 8), 0);
	assert_int_equal(builder_holder_of(&b, map_get(&b.by_cookie, 1), &two, 9), 1);
	assert_int_equal(builder_finish(&b, true), 0);
	assert_int_equal(c.sockets_n, 2);
	assert_int_equal(c.sockets[0].held.n, 2);
	assert_int_equal(c.sockets[0].processes, 2);
	assert_int_equal(c.sockets[0].v.cause, TCP_CAUSE_SHARED);
	assert_int_equal(c.holders[c.sockets[0].held.first + 1].fd, 9);
	assert_string_equal(c.procs[c.holders[c.sockets[0].held.first + 1].proc].comm, "two");
	assert_int_equal(c.sockets[1].held.n, 1);
	assert_int_equal(c.sockets[1].v.cause, TCP_CAUSE_DRAINED);
	assert_int_equal(c.listeners[0].held.n, 1);
	builder_free(&b);
	census_free(&c);
}

/* Two descriptors in one process are one holder that has to close. */
static void one_process_does_not_share(void **state)
{
	struct builder_who one = { 2000001, "one" };
	struct builder b;
	struct census c;

	start(&b, &c);
	put(&b, end(TCPS_CLOSE_WAIT, 1, 11), 0);
	builder_holder_of(&b, map_get(&b.by_cookie, 1), &one, 5);
	builder_holder_of(&b, map_get(&b.by_cookie, 1), &one, 6);
	builder_finish(&b, true);
	assert_int_equal(c.sockets[0].held.n, 2);
	assert_int_equal(c.sockets[0].processes, 1);
	assert_int_equal(c.sockets[0].v.cause, TCP_CAUSE_DRAINED);
	builder_free(&b);
	census_free(&c);
}

static void a_socket_told_twice_is_one(void **state)
{
	struct builder b;
	struct census c;

	start(&b, &c);
	put(&b, end(TCPS_FIN_WAIT2, 1, 11), 0);
	put(&b, end(TCPS_CLOSE, 1, 11), 0);
	assert_int_equal(c.sockets_n, 1);
	assert_int_equal(c.sockets[0].s.state, TCPS_CLOSE);
	put(&b, end(TCPS_CLOSE, 2, 12), 0); /* never connected */
	assert_int_equal(c.sockets_n, 1);
	builder_free(&b);
	census_free(&c);
}

/* Subflows of MPTCP carry the inode of the one socket that the program has. */
static void sockets_may_share_an_inode(void **state)
{
	struct builder_who one = { 2000001, "one" };
	struct builder b;
	struct census c;

	start(&b, &c);
	put(&b, end(TCPS_CLOSE_WAIT, 1, 11), 0);
	put(&b, end(TCPS_CLOSE_WAIT, 2, 11), 0);
	assert_int_equal(builder_holder_of_inode(&b, 11, &one, 5), 1);
	builder_finish(&b, true);
	assert_int_equal(c.sockets[0].held.n, 1);
	assert_int_equal(c.sockets[1].held.n, 1);
	builder_free(&b);
	census_free(&c);
}

static void time_wait_is_summed(void **state)
{
	struct tcp_sample s = end(TCPS_TIME_WAIT, 0, 0);
	struct builder b;
	struct census c;

	start(&b, &c);
	s.local.port = 40000;
	s.peer.port = 5432;
	for (unsigned i = 0; i < 100; i++) {
		s.local.port++;
		s.timer_ms = 100 * i;
		put(&b, s, 0);
	}
	s.peer.port = 5433;
	put(&b, s, 0);
	s.local.port = 80; /* served here */
	put(&b, s, 0);
	s.peer.port++;
	put(&b, s, 0);
	assert_int_equal(c.sockets_n, 0);
	assert_int_equal(c.time_wait_all, 103);
	assert_int_equal(c.time_wait_n, 3);
	assert_int_equal(c.time_wait[0].n, 100);
	assert_true(c.time_wait[0].outgoing);
	assert_int_equal(c.time_wait[0].last_ms, 9900);
	assert_int_equal(c.time_wait[2].n, 2);
	assert_false(c.time_wait[2].outgoing);
	builder_forget_time_wait(&b, 0);
	assert_int_equal(c.time_wait_all, 0);
	builder_free(&b);
	census_free(&c);
}

static void add_listener(struct census *c, const char *host, uint32_t netns)
{
	uint32_t i = census_add_listener(c);

	c->listeners[i].s.local = addr(host, 80);
	c->listeners[i].netns = netns;
}

static uint32_t listener_of(const struct census *c, struct census_socket *s)
{
	census_find_listener(c, s);
	return s->listener;
}

static void a_listener_is_named_only_where_it_is_one(void **state)
{
	struct census_socket s = { .netns = 0 };
	struct census c = { 0 };

	s.s.local = addr("10.0.0.1", 80);
	assert_int_equal(listener_of(&c, &s), CENSUS_NONE);
	assert_int_equal(s.listeners, 0);
	add_listener(&c, "::", 0);
	assert_int_equal(listener_of(&c, &s), 0);
	add_listener(&c, "0.0.0.0", 0);
	assert_int_equal(listener_of(&c, &s), 1);
	add_listener(&c, "10.0.0.1", 1); /* another namespace */
	assert_int_equal(listener_of(&c, &s), 1);
	add_listener(&c, "10.0.0.1", 0);
	assert_int_equal(listener_of(&c, &s), 3);
	assert_int_equal(census_next_listener(&c, &s, CENSUS_NONE), 3);
	assert_int_equal(census_next_listener(&c, &s, 3), CENSUS_NONE);
	s.s.local.port = 81;
	assert_int_equal(listener_of(&c, &s), CENSUS_NONE);
	assert_int_equal(census_next_listener(&c, &s, CENSUS_NONE), CENSUS_NONE);
	census_free(&c);
}

/* SO_REUSEPORT: which of them nobody can say, but for those whose queue was empty all the time. */
static void of_listeners_that_share_a_port_any_may_have_it(void **state)
{
	struct census_socket s = { .netns = 0, .v = { TCP_CAUSE_NOT_ACCEPTED, TCP_AGE_EXACT, 50 } };
	struct census c = { .took_ms = 50 };

	s.s.local = addr("10.0.0.1", 80);
	add_listener(&c, "10.0.0.1", 0);
	add_listener(&c, "0.0.0.0", 0);
	add_listener(&c, "10.0.0.1", 0);
	assert_int_equal(listener_of(&c, &s), CENSUS_NONE);
	assert_int_equal(s.listeners, 2);
	assert_int_equal(census_next_listener(&c, &s, CENSUS_NONE), 0);
	assert_int_equal(census_next_listener(&c, &s, 0), 2);
	assert_int_equal(census_next_listener(&c, &s, 2), CENSUS_NONE);
	c.listeners[2].s.recv_q = 1;
	assert_int_equal(listener_of(&c, &s), CENSUS_NONE); /* it may have come meanwhile */
	s.v.age_ms = 51;
	assert_int_equal(listener_of(&c, &s), 2);
	s.v.age_is = TCP_AGE_UNKNOWN;
	assert_int_equal(listener_of(&c, &s), CENSUS_NONE);
	census_free(&c);
}

static void only_proven_age_needs_a_person(void **state)
{
	struct census_socket s = { .v = { TCP_CAUSE_UNREAD, TCP_AGE_AT_LEAST, 5000 } };

	assert_true(census_needs_person(&s, 5000));
	assert_false(census_needs_person(&s, 5001));
	s.v.age_is = TCP_AGE_UNKNOWN;
	assert_false(census_needs_person(&s, 0));
	s.v = (struct tcp_verdict){ TCP_CAUSE_REPLYING, TCP_AGE_EXACT, 90000 };
	assert_false(census_needs_person(&s, 0));
	s.v = (struct tcp_verdict){ TCP_CAUSE_DEAD, TCP_AGE_AT_LEAST, 100 };
	s.s.last_ack_recv_ms = 60000;
	assert_true(census_needs_person(&s, 60000));
	s.s.last_ack_recv_ms = 59999; /* it was alive then */
	assert_false(census_needs_person(&s, 60000));
	assert_true(census_needs_person(&s, 0));
	s.v.age_is = TCP_AGE_UNKNOWN; /* seen only once */
	assert_false(census_needs_person(&s, 0));
}

static bool matches(enum filter_key key, const char *value, const struct census *c)
{
	struct filter f = { 0 };
	struct err e;

	assert_int_equal(filter_set(&f, key, value, &e), 0);
	return filter_match(&f, c, &c->sockets[0]);
}

static void filters_mean_what_they_say(void **state)
{
	struct builder_who who = { 2000001, "nginx" };
	struct builder b;
	struct census c;

	start(&b, &c);
	put(&b, end(TCPS_CLOSE_WAIT, 1, 11), 1);
	builder_holder_of(&b, map_get(&b.by_cookie, 1), &who, 5);
	builder_finish(&b, true);
	assert_true(matches(FILTER_STATE, "CLOSE_WAIT", &c));
	assert_true(matches(FILTER_STATE, "fin-wait-2,close-wait", &c));
	assert_true(matches(FILTER_STATE, "half-closed", &c));
	assert_false(matches(FILTER_STATE, "FIN_WAIT_2", &c));
	assert_true(matches(FILTER_CAUSE, "drained", &c));
	assert_false(matches(FILTER_CAUSE, "unread,dead", &c));
	assert_true(matches(FILTER_PID, "2000001", &c));
	assert_false(matches(FILTER_PID, "2000002", &c));
	assert_true(matches(FILTER_COMM, "ngi*", &c));
	assert_false(matches(FILTER_COMM, "ngin", &c));
	assert_true(matches(FILTER_PORT, "80", &c));
	assert_true(matches(FILTER_PORT, "40000", &c));
	assert_false(matches(FILTER_PORT, "81", &c));
	assert_true(matches(FILTER_PEER, "10.0.0.2", &c));
	assert_true(matches(FILTER_PEER, "10.0.0.0/24", &c));
	assert_true(matches(FILTER_PEER, "0.0.0.0/0", &c));
	assert_true(matches(FILTER_PEER, "10.0.0.2:40000", &c));
	assert_false(matches(FILTER_PEER, "10.0.0.2:40001", &c));
	assert_false(matches(FILTER_PEER, "10.0.0.0/31", &c));
	assert_false(matches(FILTER_PEER, "fd00::1", &c));
	assert_true(matches(FILTER_OLDER, "5s", &c));
	assert_false(matches(FILTER_OLDER, "5001ms", &c));
	assert_true(matches(FILTER_NETNS, "222", &c));
	assert_true(matches(FILTER_NETNS, "blue", &c));
	assert_false(matches(FILTER_NETNS, "111", &c));
	assert_false(matches(FILTER_CGROUP, "docker", &c));
	builder_free(&b);
	census_free(&c);
}

static void a_v4_mapped_peer_is_that_peer(void **state)
{
	struct census c = { 0 };

	census_add_socket(&c);
	c.sockets[0].s.peer = addr("::ffff:10.0.0.2", 5);
	assert_true(matches(FILTER_PEER, "10.0.0.2", &c));
	assert_true(matches(FILTER_PEER, "10.0.0.2:5", &c));
	assert_true(matches(FILTER_PEER, "[::ffff:10.0.0.2]:5", &c));
	assert_false(matches(FILTER_PEER, "10.0.0.3", &c));
	c.sockets[0].v.age_is = TCP_AGE_UNKNOWN;
	assert_false(matches(FILTER_OLDER, "1ms", &c));
	assert_true(matches(FILTER_OLDER, "0", &c));
	census_free(&c);
}

static void wrong_filters_are_refused(void **state)
{
	static const struct {
		enum filter_key key;
		const char *value;
	} wrong[] = {
		{ FILTER_STATE, "" },
		{ FILTER_STATE, "CLOSE_WAI" },
		{ FILTER_STATE, "gone" },
		{ FILTER_STATE, "CLOSE_WAIT," },
		{ FILTER_STATE, ",x" },
		{ FILTER_CAUSE, "leak" },
		{ FILTER_CAUSE, "" },
		{ FILTER_PID, "0" },
		{ FILTER_PID, "-1" },
		{ FILTER_PID, "1x" },
		{ FILTER_COMM, "" },
		{ FILTER_PORT, "0" },
		{ FILTER_PORT, "65536" },
		{ FILTER_PEER, "" },
		{ FILTER_PEER, "example.org" },
		{ FILTER_PEER, "10.0.0.2/33" },
		{ FILTER_PEER, "10.0.0.2:x" },
		{ FILTER_PEER, "10.0.0.2:0" },
		{ FILTER_PEER, "10.0.0.2/" },
		{ FILTER_PEER, "10.0.0.2/-1" },
		{ FILTER_PEER, "[::1]:" },
		{ FILTER_PEER, "10.1" },
		{ FILTER_PEER, "[::1" },
		{ FILTER_PEER, "[::1]80" },
		{ FILTER_PEER, "::1/129" },
		{ FILTER_OLDER, "60" },
		{ FILTER_OLDER, "" },
		{ FILTER_NETNS, "" },
		{ FILTER_CGROUP, "" },
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct filter f = { 0 }, before = { 0 };
		struct err e = { 0 };

		assert_int_equal(filter_set(&f, wrong[i].key, wrong[i].value, &e), -EINVAL);
		assert_true(strlen(e.text) > 0);
		assert_memory_equal(&f, &before, sizeof(f));
	}
}

static void the_worst_comes_first(void **state)
{
	struct builder_who one = { 2000001, "one" }, two = { 2000002, "two" };
	struct summary sum = { .older_ms = 1000 };
	struct builder b;
	struct census c;

	start(&b, &c);
	for (uint32_t i = 1; i <= 3; i++)
		put(&b, end(TCPS_LAST_ACK, i, 0), 0);
	put(&b, end(TCPS_CLOSE_WAIT, 11, 11), 0);
	put(&b, end(TCPS_CLOSE_WAIT, 12, 12), 0);
	put(&b, end(TCPS_CLOSE_WAIT, 13, 13), 0);
	builder_holder_of(&b, map_get(&b.by_cookie, 11), &one, 5);
	builder_holder_of(&b, map_get(&b.by_cookie, 12), &two, 5);
	builder_holder_of(&b, map_get(&b.by_cookie, 13), &two, 6);
	builder_finish(&b, true);
	for (uint32_t i = 0; i < c.sockets_n; i++)
		assert_int_equal(summary_add(&sum, &c, &c.sockets[i]), 0);
	summary_sort(&sum);
	assert_int_equal(sum.n, 3);
	assert_int_equal(sum.sockets, 6);
	assert_int_equal(sum.findings, 3);
	assert_string_equal(c.procs[sum.v[0].proc].comm, "two");
	assert_int_equal(sum.v[0].n, 2);
	assert_int_equal(sum.v[0].oldest_ms, 5000);
	assert_int_equal(sum.v[0].local.n, 1);
	assert_int_equal(sum.v[0].local.port[0], 80);
	assert_string_equal(c.procs[sum.v[1].proc].comm, "one");
	assert_int_equal(sum.v[2].state, TCPS_LAST_ACK);
	assert_int_equal(sum.v[2].proc, CENSUS_NONE);
	summary_free(&sum);
	builder_free(&b);
	census_free(&c);
}

static void what_a_filter_names_must_exist(void **state)
{
	struct census_netns ns = { .ino = 222, .name = "blue" };
	struct census c = { .netns = &ns, .netns_n = 1 };
	static const struct {
		struct filter f;
		int wants;
	} cases[] = {
		{ { 0 }, 0 },
		{ { .netns = "blue" }, 0 },
		{ { .netns = "222" }, 0 },
		{ { .netns = "red" }, -ENOENT },
		{ { .pid = 1 }, 0 },
		{ { .pid = INT32_MAX }, -ENOENT },
		{ { .comm = "unit_c*" }, 0 },
		{ { .comm = "no such program" }, -ENOENT },
		{ { .cgroup = "/" }, 0 },
		{ { .cgroup = "/no such group" }, -ENOENT },
		{ { .pid = 1, .cgroup = "/no such group" }, -ENOENT },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err e = { 0 };

		assert_int_equal(filter_check(&cases[i].f, &c, &e), cases[i].wants);
		assert_int_equal(e.text[0] != '\0', cases[i].wants != 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(map_keeps_what_it_is_given),
		cmocka_unit_test(holders_lie_side_by_side),
		cmocka_unit_test(one_process_does_not_share),
		cmocka_unit_test(a_socket_told_twice_is_one),
		cmocka_unit_test(sockets_may_share_an_inode),
		cmocka_unit_test(time_wait_is_summed),
		cmocka_unit_test(a_listener_is_named_only_where_it_is_one),
		cmocka_unit_test(of_listeners_that_share_a_port_any_may_have_it),
		cmocka_unit_test(only_proven_age_needs_a_person),
		cmocka_unit_test(filters_mean_what_they_say),
		cmocka_unit_test(a_v4_mapped_peer_is_that_peer),
		cmocka_unit_test(wrong_filters_are_refused),
		cmocka_unit_test(what_a_filter_names_must_exist),
		cmocka_unit_test(the_worst_comes_first),
	};

	return cmocka_run_group_tests_name("census", tests, NULL, NULL);
}
