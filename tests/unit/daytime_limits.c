/* SPDX-License-Identifier: MIT */
/* daytimed's tables, limits and classes of errors, without a socket. */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daytime/accept.h"
#include "daytime/closing.h"
#include "daytime/confine.h"
#include "daytime/conns.h"
#include "daytime/counters.h"
#include "daytime/peer.h"
#include "daytime/server.h"
#include "daytime/source.h"
#include "daytime/udp.h"

static struct sockaddr_in6 peer(const char *host, uint16_t port)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	if (inet_pton(AF_INET6, host, &in6.sin6_addr) != 1)
		fail_msg("%s", host);
	return in6;
}

static void accept_errors_have_classes(void **state)
{
	static const struct {
		int error;
		enum accept_class want;
	} rows[] = {
		{ EAGAIN, ACCEPT_NONE },        { ECONNABORTED, ACCEPT_GO_ON },
		{ EPROTO, ACCEPT_GO_ON },       { EINTR, ACCEPT_GO_ON },
		{ ENETDOWN, ACCEPT_GO_ON },     { ENOPROTOOPT, ACCEPT_GO_ON },
		{ EHOSTDOWN, ACCEPT_GO_ON },    { ENONET, ACCEPT_GO_ON },
		{ EHOSTUNREACH, ACCEPT_GO_ON }, { EOPNOTSUPP, ACCEPT_GO_ON },
		{ ENETUNREACH, ACCEPT_GO_ON },  { ETIMEDOUT, ACCEPT_GO_ON },
		{ EPERM, ACCEPT_GO_ON },        { EMFILE, ACCEPT_SHED },
		{ ENFILE, ACCEPT_SHED },        { ENOBUFS, ACCEPT_BACKOFF },
		{ ENOMEM, ACCEPT_BACKOFF },     { EBADF, ACCEPT_STOP },
		{ EINVAL, ACCEPT_STOP },        { ENOTSOCK, ACCEPT_STOP },
		{ EFAULT, ACCEPT_STOP },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(accept_classify(rows[i].error), rows[i].want);
}

static void a_table_without_memory_is_none(void **state)
{
	struct sources s = { 0 };
	struct rlimit was, little;
	int r;

	assert_int_equal(getrlimit(RLIMIT_AS, &was), 0);
	little = was;
	little.rlim_cur = 1 << 20;
	assert_int_equal(setrlimit(RLIMIT_AS, &little), 0);
	r = sources_open(&s, 1000000, 1);
	assert_int_equal(setrlimit(RLIMIT_AS, &was), 0);
	assert_int_equal(r, -ENOMEM);
	assert_null(s.cell);
	sources_free(&s);
}

static void a_source_is_an_address_or_a_64(void **state)
{
	struct sockaddr_in6 a = peer("2001:db8:1:2::1", 1), b = peer("2001:db8:1:2:ffff::9", 2),
			    c = peer("2001:db8:1:3::1", 1), v4 = peer("::ffff:192.0.2.1", 5),
			    other = peer("::ffff:192.0.2.2", 5), zero = peer("::", 5);
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 plain;
	struct source_key k, l;

	k = source_key(&a);
	l = source_key(&b);
	assert_memory_equal(&k, &l, sizeof(k));
	l = source_key(&c);
	assert_memory_not_equal(&k, &l, sizeof(k));
	inet_pton(AF_INET, "192.0.2.1", &in.sin_addr);
	memcpy(&plain, &in, sizeof(in));
	k = source_key(&v4);
	l = source_key(&plain);
	assert_memory_equal(&k, &l, sizeof(k));
	l = source_key(&other);
	assert_memory_not_equal(&k, &l, sizeof(k));
	k = source_key(&zero);
	assert_memory_not_equal(&k, &l, sizeof(k));
}

/* A million connections of random sources in a table of 64, against counts kept the plain way. */
static void sources_are_counted(void **state)
{
	enum {
		SIZE = 64,
		SOURCES = 40,
		LIMIT = 3
	};
	struct {
		uint32_t index;
		unsigned source;
	} open[SIZE];
	unsigned count[SOURCES] = { 0 }, used = 0;
	struct sources s;

	srand(7);
	assert_int_equal(sources_open(&s, SIZE, 12345), 0);
	for (int i = 0; i < 1000000; i++) {
		unsigned who = (unsigned)rand() % SOURCES;

		if (used == SIZE || (used > 0 && rand() % 2)) {
			unsigned k = (unsigned)rand() % used;

			sources_release(&s, open[k].index);
			count[open[k].source]--;
			open[k] = open[--used];
		} else {
			struct source_key key = { who, 1 };
			enum source_answer got = sources_take(&s, key, LIMIT, SIZE - 10,
							      &open[used].index);

			assert_int_equal(got, used == SIZE - 10     ? SOURCE_ALL_FULL
					      : count[who] >= LIMIT ? SOURCE_FULL
								    : SOURCE_TAKEN);
			if (got != SOURCE_TAKEN)
				continue;
			count[who]++;
			open[used++].source = who;
		}
	}
	sources_free(&s);
}

static void connections_queue_in_order(void **state)
{
	struct conns c;
	uint32_t a, b, d;

	assert_int_equal(conns_open(&c, 2), 0);
	a = conns_add(&c, 10, CONN_HOLDING, 5);
	b = conns_add(&c, 11, CONN_HOLDING, 6);
	assert_int_equal(conns_add(&c, 12, CONN_HOLDING, 7), CONN_NONE);
	assert_int_equal(conns_first(&c, CONN_HOLDING), a);
	conns_move(&c, a, CONN_FRESH, 9);
	assert_int_equal(conns_first(&c, CONN_HOLDING), b);
	assert_int_equal(c.fresh, 1);
	conns_move(&c, b, CONN_FRESH, 9);
	assert_int_equal(conns_first(&c, CONN_FRESH), a);
	conns_move(&c, a, CONN_FREE, 0);
	assert_int_equal(c.used, 1);
	assert_int_equal(c.fresh, 1);
	d = conns_add(&c, 13, CONN_DRAINING, 1);
	assert_int_equal(d, a);
	assert_int_equal(conns_first(&c, CONN_DRAINING), d);
	conns_free(&c);
}

static void a_rate_lets_through_what_it_says(void **state)
{
	struct rate r = { .interval = 100, .burst = 3 };
	int64_t next = 0;
	int passed = 0;

	assert_true(rate_pass(&r, 1000, &next));
	assert_true(rate_pass(&r, 1000, &next));
	assert_true(rate_pass(&r, 1000, &next));
	assert_false(rate_pass(&r, 1000, &next));
	assert_false(rate_pass(&r, 1099, &next));
	assert_true(rate_pass(&r, 1100, &next));
	assert_false(rate_pass(&r, 1100, &next));
	for (int64_t now = 10000; now < 20000; now++)
		passed += rate_pass(&r, now, &next);
	assert_in_range(passed, 100, 103);
}

static void a_full_table_of_rates_serves_nobody_new(void **state)
{
	static struct rates t;
	struct rate r = { .interval = 1000, .burst = 1 };
	struct source_key k = { 0 };
	int passed = 0;

	for (uint64_t i = 0; i < 100000; i++) {
		k.high = i;
		passed += rates_pass(&t, &r, k, 5000);
	}
	assert_in_range(passed, RATES_SETS * RATES_WAYS * 9 / 10, RATES_SETS * RATES_WAYS);
	k.high = 0;
	assert_false(rates_pass(&t, &r, k, 5999)); /* known, and not rested */
	assert_true(rates_pass(&t, &r, k, 6000));
	k.high = 999999;
	assert_true(rates_pass(&t, &r, k, 6001)); /* the others have rested: there is room */
}

static void some_are_never_answered_over_udp(void **state)
{
	static const struct {
		const char *from;
		uint16_t port;
		const char *to;
		bool loopback, want;
	} rows[] = {
		{ "::ffff:192.0.2.1", 40000, "::ffff:192.0.2.9", false, true },
		{ "::ffff:192.0.2.1", 1024, "::ffff:192.0.2.9", false, true },
		{ "::ffff:192.0.2.1", 1023, "::ffff:192.0.2.9", false, false },
		{ "::ffff:192.0.2.1", 0, "::ffff:192.0.2.9", false, false },
		{ "::ffff:224.0.0.1", 40000, "::ffff:192.0.2.9", false, false },
		{ "::ffff:255.255.255.255", 40000, "::ffff:192.0.2.9", false, false },
		{ "::ffff:0.0.0.0", 40000, "::ffff:192.0.2.9", false, false },
		{ "::ffff:127.0.0.1", 40000, "::ffff:192.0.2.9", false, false },
		{ "::ffff:192.0.2.9", 40000, "::ffff:192.0.2.9", false, false },
		{ "::ffff:192.0.2.1", 40000, "::ffff:255.255.255.255", false, false },
		{ "::ffff:192.0.2.1", 40000, "::ffff:239.1.2.3", false, false },
		{ "::ffff:127.0.0.1", 40000, "::ffff:127.0.0.1", true, true },
		{ "::ffff:127.0.0.1", 5000, "::ffff:127.0.0.1", true, false },
		{ "::ffff:127.0.0.1", 5000, "::ffff:127.0.0.2", true, false },
		{ "2001:db8::1", 40000, "2001:db8::2", false, true },
		{ "2001:db8::1", 13, "2001:db8::2", false, false },
		{ "ff02::1", 40000, "2001:db8::2", false, false },
		{ "::", 40000, "2001:db8::2", false, false },
		{ "2001:db8::2", 40000, "2001:db8::2", false, false },
		{ "2001:db8::1", 40000, "ff02::1", false, false },
		{ "2001:db8::1", 40000, "::", false, false },
		{ "::1", 40000, "2001:db8::2", false, false },
		{ "::1", 40000, "::1", true, true },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sockaddr_in6 from = peer(rows[i].from, rows[i].port),
				    to = peer(rows[i].to, 0);

		if (udp_may_answer(&from, &to.sin6_addr, 5000, rows[i].loopback) != rows[i].want)
			fail_msg("row %zu: %s", i, rows[i].from);
	}
}

static void a_peer_is_written_as_inet_ntop_does(void **state)
{
	static const struct {
		const char *address, *shown;
		uint16_t port;
	} peers[] = {
		{ "::ffff:0.0.0.0", "0.0.0.0 port 0", 0 },
		{ "::ffff:192.0.2.7", "192.0.2.7 port 4711", 4711 },
		{ "::ffff:255.255.255.255", "255.255.255.255 port 65535", 65535 },
		{ "2001:db8::10", "2001:db8::10 port 13", 13 },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
		  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff port 10000", 10000 },
		{ "::", ":: port 9", 9 },
	};
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(100) };
	char text[PEER_TEXT_MAX];

	for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
		struct sockaddr_in6 one = peer(peers[i].address, peers[i].port);

		assert_int_equal(peer_text(&one, text), strlen(peers[i].shown));
		assert_string_equal(text, peers[i].shown);
	}
	v4.sin_addr.s_addr = htonl(0x7f000001);
	assert_int_equal(peer_text((const struct sockaddr_in6 *)&v4, text), 18);
	assert_string_equal(text, "127.0.0.1 port 100");
}

/* Closes seven of ten descriptors in a row, out of order, and these only. */
static void what_is_closed_together_is_all_and_nothing_else(void **state)
{
	static const int order[] = { 8, 2, 1, 0, 9, 4, 5 }, kept[] = { 3, 6, 7 };
	struct closing c = { 0 };
	int base = fcntl(0, F_DUPFD_CLOEXEC, 100);

	assert_true(base >= 100);
	for (int i = 1; i < 10; i++)
		assert_int_equal(dup2(base, base + i), base + i);
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		closing_add(&c, base + order[i]);
	assert_true(fcntl(base + 8, F_GETFD) >= 0); /* not yet */
	closing_flush(&c);
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		assert_int_equal(fcntl(base + order[i], F_GETFD), -1);
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		assert_int_equal(close(base + kept[i]), 0);
	closing_flush(&c); /* nothing waits */
}

static void closing_takes_any_number(void **state)
{
	struct closing c = { 0 };
	int first = fcntl(0, F_DUPFD_CLOEXEC, 100);

	for (int i = 0; i < CLOSING_MAX + 10; i++) {
		assert_int_equal(dup2(0, first + i), first + i);
		closing_add(&c, first + i);
	}
	assert_int_equal(fcntl(first, F_GETFD), -1);
	assert_int_equal(c.count, 10);
	closing_flush(&c);
	assert_int_equal(fcntl(first + CLOSING_MAX + 9, F_GETFD), -1);
}

static void counters_add_up(void **state)
{
	struct counters a = { .accepted = 3, .replied = 2, .closed = 1, .log_lines_lost = 7 },
			b = { .accepted = 1, .replied = 1, .too_much = 1 };
	char json[COUNTERS_JSON_MAX];

	counters_add(&a, &b);
	counters_json(&a, json);
	assert_non_null(strstr(json, "{\"schema\":1,\"program\":\"daytimed\",\"accepted\":4,"
				     "\"replied\":3,\"closed\":1,\"open\":1,"));
	assert_non_null(strstr(json, "\"reset_by_us\":1,\"timed_out\":0,\"too_much\":1,"));
	a.closed = 9; /* read after another worker's reply was counted, but not this one's */
	assert_non_null(strstr(counters_json(&a, json), "\"closed\":9,\"open\":0,"));
	memset(&a, 0xff, sizeof(a));
	assert_true(strlen(counters_json(&a, json)) < COUNTERS_JSON_MAX - 1);
	assert_string_equal(json + strlen(json) - 1, "}");
}

/* Fills the one set of a small table with other sources: the next is refused, not let in uncounted.
 */
static void a_full_set_refuses(void **state)
{
	struct sources s;
	uint32_t cell[17];
	int taken = 0;

	assert_int_equal(sources_open(&s, 1, 0), 0);
	assert_int_equal(sources_take(&s, (struct source_key){ 0, 1 }, 0, 9, cell), SOURCE_FULL);
	for (uint64_t k = 0; k < 17; k++)
		taken += sources_take(&s, (struct source_key){ k, 1 }, 1, 100, &cell[k]) ==
			 SOURCE_TAKEN;
	assert_int_equal(taken, 16);
	assert_int_equal(*s.used, 16);
	for (int k = 0; k < 16; k++)
		sources_release(&s, cell[k]);
	assert_int_equal(sources_take(&s, (struct source_key){ 99, 1 }, 1, 1, cell), SOURCE_TAKEN);
	assert_int_equal(sources_take(&s, (struct source_key){ 98, 1 }, 1, 1, cell),
			 SOURCE_ALL_FULL);
	sources_free(&s);
}

enum {
	SHARERS = 4,
	SHARED_SOURCES = 3,
	SHARED_LIMIT = 2,
	SHARED_MOST = 5
};

/* Takes, holding up to three, and releases; returns whether a limit was ever passed. */
static int share(struct sources *s, _Atomic int *now, unsigned seed)
{
	struct {
		uint32_t cell;
		unsigned who;
		bool held;
	} mine[3] = { 0 };
	int bad = 0;

	for (int i = 0; i < 300003; i++) {
		unsigned who = ((seed = seed * 1103515245 + 12345) >> 16) % SHARED_SOURCES;
		struct source_key key = { who, 1 };
		size_t k = (size_t)i % 3;

		if (mine[k].held) {
			now[mine[k].who]--;
			now[SHARED_SOURCES]--;
			sources_release(s, mine[k].cell);
		}
		mine[k].who = who;
		mine[k].held = i < 300000 && sources_take(s, key, SHARED_LIMIT, SHARED_MOST,
							  &mine[k].cell) == SOURCE_TAKEN;
		if (mine[k].held) {
			bad |= ++now[who] > SHARED_LIMIT;
			bad |= ++now[SHARED_SOURCES] > SHARED_MOST;
		}
	}
	return bad;
}

/* Four processes at one table: no limit is ever passed, and at the end it is empty. */
static void processes_share_limits(void **state)
{
	struct sources s;
	_Atomic int *now = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
				0);
	uint64_t left = 0;

	assert_true(now != MAP_FAILED);
	assert_int_equal(sources_open(&s, 8, 3), 0);
	for (unsigned i = 0; i < SHARERS; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0)
			_exit(share(&s, now, i));
	}
	for (int i = 0; i < SHARERS; i++) {
		int status = -1;

		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	assert_int_equal(*s.used, 0);
	for (uint64_t c = 0; c < s.sets * 16; c++)
		left += s.cell[c] & 0xfffff;
	assert_int_equal(left, 0);
	munmap(now, 4096);
	sources_free(&s);
}

static void the_filter_is_short(void **state)
{
	const char *names[CONFINE_SYSCALLS_MAX + 1];

	for (unsigned p = 0; p < 32; p++)
		assert_in_range(confine_names(p, names), 5,
				getenv("UNCLOSED_COVERAGE") ? CONFINE_SYSCALLS_MAX : 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accept_errors_have_classes),
		cmocka_unit_test(a_table_without_memory_is_none),
		cmocka_unit_test(a_source_is_an_address_or_a_64),
		cmocka_unit_test(sources_are_counted),
		cmocka_unit_test(connections_queue_in_order),
		cmocka_unit_test(a_rate_lets_through_what_it_says),
		cmocka_unit_test(a_full_table_of_rates_serves_nobody_new),
		cmocka_unit_test(some_are_never_answered_over_udp),
		cmocka_unit_test(a_peer_is_written_as_inet_ntop_does),
		cmocka_unit_test(what_is_closed_together_is_all_and_nothing_else),
		cmocka_unit_test(closing_takes_any_number),
		cmocka_unit_test(counters_add_up),
		cmocka_unit_test(a_full_set_refuses),
		cmocka_unit_test(processes_share_limits),
		cmocka_unit_test(the_filter_is_short),
	};

	return cmocka_run_group_tests_name("daytime_limits", tests, NULL, NULL);
}
