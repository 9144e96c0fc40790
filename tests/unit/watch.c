/* SPDX-License-Identifier: MIT */
/* The pure parts of the watch: patterns of names, what a refusal means, both ends of a connection.
 */
#include "unit.h"

#include <bpf/btf.h>
#include <errno.h>
#include <fnmatch.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "doctor/ends.h"
#include "doctor/watch_state.h"
#include "kernel/glob.h"
#include "kernel/prototype.h"
#include "kernel/watch_refused.h"
#include "tcp/state.h"

/* As the kernel's program walks over a name. */
static bool matches(const struct glob *g, const char *name)
{
	uint32_t states = GLOB_START;

	for (; *name; name++)
		states = GLOB_STEP(g, states, *name);
	return states & g->end;
}

static void patterns_mean_what_fnmatch_means(void **state)
{
	static const char *const patterns[] = {
		"nginx",
		"ngin?",
		"n*x",
		"*",
		"**",
		"?",
		"*n*g*",
		"[mn]ginx",
		"[!m]ginx",
		"[a-z]*",
		"[]x]",
		"[!]x]*",
		"\\*",
		"a\\?b",
		"[",
		"[n",
		"n[",
		"[[:digit:]]*",
		"[a\\]b]",
		"*[",
		"x*y*",
		"n*",
		"*x",
		"*-[0-9]",
		"",
		"\\",
		"a\\",
		"[^m]*",
		"kworker/[0-9]:*",
	};
	static const char *const names[] = {
		"",
		"n",
		"nginx",
		"mginx",
		"nginx2",
		"*",
		"a?b",
		"axb",
		"]",
		"x",
		"[",
		"[n",
		"n[",
		"7",
		"7a",
		"b",
		"xy",
		"xay",
		"xyb",
		"worker-7",
		"worker-",
		"aaaaaaaaaaaaaaa",
		"kworker/1:2",
		"\\",
		"a\\",
		"a",
	};

	for (size_t p = 0; p < sizeof(patterns) / sizeof(*patterns); p++) {
		struct glob g;

		assert_int_equal(glob_compile(&g, patterns[p]), 0);
		for (size_t n = 0; n < sizeof(names) / sizeof(*names); n++)
			if (matches(&g, names[n]) != !fnmatch(patterns[p], names[n], 0))
				fail_msg("'%s' and '%s': %d", patterns[p], names[n],
					 matches(&g, names[n]));
	}
}

static void a_pattern_has_its_limit(void **state)
{
	char pattern[GLOB_ELEMENTS + 2] = "";
	struct glob g;

	memset(pattern, '?', GLOB_ELEMENTS);
	assert_int_equal(glob_compile(&g, pattern), 0);
	pattern[GLOB_ELEMENTS] = '?';
	assert_int_not_equal(glob_compile(&g, pattern), 0);
}

#define BIT(capability) (1ULL << (capability))

static void a_refusal_names_what_is_missing(void **state)
{
	static const struct {
		struct watch_rights rights;
		const char *says;
	} cases[] = {
		{ { .initial_user_ns = true }, "CAP_BPF and CAP_PERFMON are missing" },
		{ { .initial_user_ns = true, .effective = BIT(CAP_PERFMON) },
		  "CAP_BPF is missing" },
		{ { .initial_user_ns = true, .effective = BIT(CAP_BPF) },
		  "CAP_PERFMON is missing" },
		{ { .effective = UINT64_MAX, .seccomp = true }, "this is a user namespace" },
		{ { .initial_user_ns = true,
		    .effective = BIT(CAP_SYS_ADMIN),
		    .locked_confidential = true },
		  "locked down" },
		{ { .initial_user_ns = true,
		    .effective = BIT(CAP_BPF) | BIT(CAP_PERFMON),
		    .seccomp = true },
		  "a seccomp filter" },
		{ { .initial_user_ns = true, .effective = UINT64_MAX }, "a security module" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char text[192];

		watch_refused(&cases[i].rights, text, sizeof(text));
		if (strncmp(text, cases[i].says, strlen(cases[i].says)) &&
		    !strstr(text, cases[i].says))
			fail_msg("case %zu: %s", i, text);
	}
}

/* As tcp_recvmsg() was in Linux 5.17, and whatever it is in this one. */
static void arguments_are_counted(void **state)
{
	struct btf *made = btf__new_empty(), *kernel = btf__load_vmlinux_btf();
	int number;

	assert_non_null(made);
	number = btf__add_int(made, "int", 4, BTF_INT_SIGNED);
	assert_true(btf__add_func_proto(made, number) > 0);
	for (int i = 0; i < 6; i++)
		assert_int_equal(btf__add_func_param(made, "x", number), 0);
	assert_true(btf__add_func(made, "tcp_recvmsg", BTF_FUNC_STATIC, number + 1) > 0);
	assert_int_equal(prototype_arguments(made, "tcp_recvmsg"), 6);
	assert_int_equal(prototype_arguments(made, "tcp_sendmsg"), -ENOENT);
	if (kernel) /* else it tells of no types; the count differs from kernel to kernel */
		assert_in_range(prototype_arguments(kernel, "tcp_recvmsg"), 4, 6);
	btf__free(made);
	btf__free(kernel);
}

static struct open_end *add(struct ends *t, uint64_t sk, const char *local, uint16_t local_port,
			    const char *peer, uint16_t peer_port, uint32_t netns)
{
	struct open_end *end = ends_insert(t, sk);
	struct tcp_addr a = { 0 }, b = { 0 };

	assert_non_null(end);
	assert_int_equal(tcp_addr_parse_host(&a, local), 0);
	assert_int_equal(tcp_addr_parse_host(&b, peer), 0);
	end->netns = netns;
	assert_int_equal(ends_set_address(t, end,
					  &(struct end_address){ a.bytes, b.bytes, local_port,
								 peer_port, a.family }),
			 0);
	return end;
}

/* It closed first, or got the FIN that came first: which is this one. */
static struct open_end *of_fin(struct open_end *end, uint16_t flags, uint32_t first_fin)
{
	end->flags = flags;
	end->first_fin = first_fin;
	return end;
}

/* Both ends of a connection over the loopback, of which the first holds. */
static void add_both(struct ends *t, uint64_t sk, uint16_t port, uint32_t netns)
{
	of_fin(add(t, sk, "127.0.0.1", 80, "127.0.0.1", port, netns), WATCH_HOLDER, port);
	of_fin(add(t, sk + 1, "127.0.0.1", port, "127.0.0.1", 80, netns), WATCH_CLOSED, port);
}

static uint64_t partner_of(const struct ends *t, uint64_t sk)
{
	const struct open_end *other = ends_partner(t, ends_find(t, sk));

	return other ? other->sk : 0;
}

static void both_ends_find_each_other(void **state)
{
	struct ends t;

	assert_int_equal(ends_init(&t), 0);
	of_fin(add(&t, 1, "127.0.0.1", 80, "127.0.0.1", 5000, 1), WATCH_HOLDER, 9);
	assert_int_equal(partner_of(&t, 1), 0);
	/* another namespace's loopback */
	of_fin(add(&t, 2, "127.0.0.1", 5000, "127.0.0.1", 80, 2), WATCH_CLOSED, 9);
	assert_int_equal(partner_of(&t, 1), 0);
	of_fin(add(&t, 3, "::ffff:127.0.0.1", 5000, "::ffff:127.0.0.1", 80, 1), WATCH_CLOSED, 9);
	assert_int_equal(partner_of(&t, 1), 3);
	assert_int_equal(partner_of(&t, 3), 1);
	/* over a bridge, say */
	of_fin(add(&t, 4, "10.0.0.1", 80, "10.0.0.2", 6000, 1), WATCH_HOLDER, 9);
	of_fin(add(&t, 5, "10.0.0.2", 6000, "10.0.0.1", 80, 2), WATCH_CLOSED, 9);
	assert_int_equal(partner_of(&t, 4), 5);
	of_fin(add(&t, 6, "fe80::7f00:1", 5001, "fe80::7f00:1", 80, 1), WATCH_HOLDER, 9);
	/* the same last bytes, another address */
	of_fin(add(&t, 7, "127.0.0.1", 80, "127.0.0.1", 5001, 1), WATCH_CLOSED, 9);
	assert_int_equal(partner_of(&t, 7), 0);
	ends_remove(&t, ends_find(&t, 3));
	assert_int_equal(partner_of(&t, 1), 0);
	ends_free(&t);
}

/* Two connections of the same addresses: in two namespaces, or over two links. */
static void a_namesake_is_no_partner(void **state)
{
	static const struct {
		const char *here, *there;
		uint32_t netns;
	} cases[] = { { "10.0.0.1", "10.0.0.2", 2 }, { "fe80::1", "fe80::2", 1 } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *here = cases[i].here, *there = cases[i].there;
		uint32_t other = cases[i].netns;
		struct ends t;

		assert_int_equal(ends_init(&t), 0);
		of_fin(add(&t, 1, here, 80, there, 5000, 1), WATCH_HOLDER, 100);
		of_fin(add(&t, 2, there, 5000, here, 80, other), WATCH_CLOSED, 200);
		assert_int_equal(partner_of(&t, 2), 0);
		of_fin(add(&t, 3, here, 80, there, 5000, other), WATCH_HOLDER, 200);
		of_fin(add(&t, 4, there, 5000, here, 80, 1), WATCH_CLOSED, 100);
		for (uint64_t sk = 1; sk <= 4; sk++)
			assert_int_equal(partner_of(&t, sk), 5 - sk);
		ends_free(&t);
	}
}

/* Also of those whose numbers are the same by chance. */
static void partners_have_different_parts(void **state)
{
	static const uint16_t neither[][2] = {
		{ WATCH_HOLDER, WATCH_HOLDER | WATCH_CLOSED },
		{ WATCH_CLOSED, WATCH_CLOSED },
		{ WATCH_HOLDER, WATCH_DEAD },
	};
	struct ends t;

	assert_int_equal(ends_init(&t), 0);
	add_both(&t, 1, 5000, 1);
	assert_int_equal(partner_of(&t, 1), 2);
	for (size_t i = 0; i < sizeof(neither) / sizeof(*neither); i++) {
		ends_find(&t, 1)->flags = neither[i][0];
		ends_find(&t, 2)->flags = neither[i][1];
		assert_int_equal(partner_of(&t, 1), 0);
		assert_int_equal(partner_of(&t, 2), 0);
	}
	ends_find(&t, 1)->flags = WATCH_HOLDER | WATCH_CLOSED | WATCH_DEAD;
	ends_find(&t, 2)->flags = WATCH_CLOSED | WATCH_DEAD;
	assert_int_equal(partner_of(&t, 1), 2);
	ends_free(&t);
}

#define MANY 3000

/* Two slots tables with holes made in them: nobody loses sight of anybody. */
static void removing_keeps_the_others(void **state)
{
	struct ends t;

	assert_int_equal(ends_init(&t), 0);
	for (uint16_t i = 1; i <= MANY; i++)
		add_both(&t, 2 * i, i, 1);
	for (uint16_t i = 1; i <= MANY; i += 2)
		ends_remove(&t, ends_find(&t, 2 * i));
	for (uint16_t i = 1; i <= MANY; i++)
		assert_int_equal(partner_of(&t, 2 * i + 1), i % 2 ? 0 : 2 * i);
	add(&t, 5, "127.0.0.1", 7, "127.0.0.1", 9, 1); /* its address is used again */
	assert_int_equal(ends_partner(&t, ends_find(&t, 5)) == NULL, 1);
	ends_free(&t);
}

static struct tw_owner process(int32_t pid, int32_t fd, const char *comm)
{
	struct tw_owner o = { .pid = pid, .fd = fd, .start_ns = (uint64_t)pid * 10 };

	strcpy(o.comm, comm);
	return o;
}

static const char *names_of(const struct ends *t, uint64_t sk)
{
	static char text[256];
	struct tw_owner o;
	size_t len = 0;

	text[0] = '\0';
	for (uint32_t i = 0; ends_owner(t, ends_find(t, sk), i, &o); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s[%d] %d", i ? " " : "",
					o.comm, o.pid, o.fd);
	return text;
}

static void processes_are_counted_once(void **state)
{
	struct tw_owner owners[] = { process(7, 3, "one"), process(7, 4, "one"),
				     process(8, 3, "two") };
	struct ends t;

	assert_int_equal(ends_init(&t), 0);
	add(&t, 1, "::1", 80, "::1", 5000, 1);
	assert_int_equal(ends_processes(&t, ends_find(&t, 1)), 0);
	for (uint32_t i = 0; i < 3; i++) {
		ends_add_owner(&t, ends_find(&t, 1), &owners[i]);
		assert_int_equal(ends_processes(&t, ends_find(&t, 1)), i < 2 ? 1 : 2);
	}
	ends_free(&t);
}

/* As of a server that keeps eight copies for itself, and has a child. */
static void a_process_beyond_those_that_are_kept_counts(void **state)
{
	struct tw_owner o;
	struct ends t;

	assert_int_equal(ends_init(&t), 0);
	add(&t, 1, "::1", 80, "::1", 5000, 1);
	for (int32_t fd = 3; fd < 3 + TW_MAX_OWNERS; fd++) {
		o = process(7, fd, "one");
		ends_add_owner(&t, ends_find(&t, 1), &o);
	}
	assert_int_equal(ends_processes(&t, ends_find(&t, 1)), 1);
	o = process(8, 3, "two");
	ends_add_owner(&t, ends_find(&t, 1), &o);
	assert_int_equal(ends_processes(&t, ends_find(&t, 1)), 2);
	ends_drop_owners(&t, ends_find(&t, 1));
	ends_add_owner(&t, ends_find(&t, 1), &o);
	assert_int_equal(ends_processes(&t, ends_find(&t, 1)), 1);
	ends_free(&t);
}

/* Whose number is higher than that of its child, which holds a copy; also where there is no room.
 */
static void the_eldest_is_named_first(void **state)
{
	struct tw_owner child = process(300, 3, "copy"), parent = process(400, 3, "maker");
	struct ends t;

	child.start_ns = 2;
	parent.start_ns = 1;
	assert_int_equal(ends_init(&t), 0);
	for (uint64_t sk = 1; sk <= 2; sk++) {
		add(&t, sk, "::1", 80, "::1", 5000, 1);
		for (int32_t n = sk == 1 ? 1 : TW_MAX_OWNERS; n > 0; n--) {
			child.fd = 2 + n;
			ends_add_owner(&t, ends_find(&t, sk), &child);
		}
		ends_add_owner(&t, ends_find(&t, sk), &parent);
		assert_int_equal(strncmp(names_of(&t, sk), "maker[400] 3 copy[300]", 22), 0);
		assert_int_equal(ends_processes(&t, ends_find(&t, sk)), 2);
	}
	assert_string_equal(names_of(&t, 1), "maker[400] 3 copy[300] 3");
	assert_int_equal(ends_find(&t, 2)->owner_count, TW_MAX_OWNERS + 1);
	for (uint64_t sk = 1; sk <= 2; sk++)
		ends_remove(&t, ends_find(&t, sk));
	assert_int_equal(t.holders.v[0].ends + t.holders.v[1].ends, 0);
	ends_free(&t);
}

/* Also where the end of one that was hidden was lost, and its address is another's now. */
static void the_hidden_are_counted(void **state)
{
	struct ends t;

	assert_int_equal(ends_init(&t), 0);
	for (uint64_t sk = 1; sk <= 3; sk++) {
		add(&t, sk, "::1", (uint16_t)sk, "::1", 80, 1);
		ends_hide(&t, ends_find(&t, sk), true);
		ends_hide(&t, ends_find(&t, sk), true);
	}
	assert_int_equal(t.hidden, 3);
	ends_hide(&t, ends_find(&t, 1), false);
	ends_remove(&t, ends_find(&t, 1));
	assert_int_equal(t.hidden, 2);
	ends_remove(&t, ends_find(&t, 2));
	assert_int_equal(t.hidden, 1);
	add(&t, 3, "::1", 3, "::1", 80, 1);
	assert_int_equal(t.count, 1);
	assert_int_equal(t.hidden, 0);
	ends_free(&t);
}

/* Ticks of 4 ms, a threshold of 1 s: half a second without data is quiet. */
static void half_the_threshold_is_quiet(void **state)
{
	struct watch_event ev = { .state = TCPS_CLOSE_WAIT, .sent = 1, .sent_jiffies = 125 };

	assert_true(watch_is_flowing(&ev, 4000000, 1000000000));
	assert_false(watch_is_flowing(&ev, 0, 1000000000));
	ev.sent_jiffies = 126;
	assert_false(watch_is_flowing(&ev, 4000000, 1000000000));
	ev.unacked = 1;
	ev.peer_window = 1;
	assert_true(watch_is_flowing(&ev, 4000000, 1000000000));
	ev.sent = 0;
	assert_false(watch_is_flowing(&ev, 4000000, 1000000000));
	ev = (struct watch_event){ .state = TCPS_FIN_WAIT2, .received = 1, .recv_jiffies = 125 };
	assert_true(watch_is_flowing(&ev, 4000000, 1000000000));
	ev.recv_jiffies = 126;
	assert_false(watch_is_flowing(&ev, 4000000, 1000000000));
	ev = (struct watch_event){ .state = TCPS_FIN_WAIT2 };
	assert_false(watch_is_flowing(&ev, 4000000, 1000000000));
}

/* Data wait to be sent again, or for a window that the peer does not open. */
static void data_that_nobody_takes_is_no_reply(void **state)
{
	struct watch_event ev = { .state = TCPS_CLOSE_WAIT,
				  .sent = 9,
				  .unacked = 9,
				  .peer_window = 1000,
				  .sent_jiffies = 126,
				  .inode = 7 };
	struct tcp_sample s = {
		.state = TCPS_CLOSE_WAIT, .inode = 7, .has_info = true, .send_q = 9
	};

	assert_true(watch_is_flowing(&ev, 4000000, 1000000000));
	assert_int_equal(watch_cause(&ev, &s, 1, true, true), TCP_CAUSE_REPLYING);
	ev.peer_window = 0;
	assert_false(watch_is_flowing(&ev, 4000000, 1000000000));
	assert_int_equal(watch_cause(&ev, &s, 1, true, false), TCP_CAUSE_DRAINED);
	ev.sent_jiffies = 1; /* it took some lately */
	assert_true(watch_is_flowing(&ev, 4000000, 1000000000));
	ev.peer_window = 1000;
	ev.retransmits = 1;
	assert_false(watch_is_flowing(&ev, 4000000, 1000000000));
	assert_int_equal(watch_cause(&ev, &s, 1, true, false), TCP_CAUSE_DRAINED);
}

/* A program that alone holds what it was told of forgot it; where two hold it, the other keeps it.
 */
static void told_is_of_one_process(void **state)
{
	struct watch_event ev = { .state = TCPS_CLOSE_WAIT, .conn.flags = WATCH_TOLD };
	struct tcp_sample s = { .state = TCPS_CLOSE_WAIT, .inode = 7, .has_info = true };

	assert_int_equal(watch_cause(&ev, &s, 1, true, false), TCP_CAUSE_TOLD);
	assert_int_equal(watch_cause(&ev, &s, 2, true, false), TCP_CAUSE_SHARED);
	assert_int_equal(watch_cause(&ev, &s, 1, true, true), TCP_CAUSE_REPLYING);
	ev.conn.flags = 0;
	assert_int_equal(watch_cause(&ev, &s, 1, true, false), TCP_CAUSE_DRAINED);
	assert_int_equal(watch_cause(&ev, &s, 0, true, false), TCP_CAUSE_NO_DESCRIPTOR);
	assert_int_equal(watch_cause(&ev, &s, 0, false, false), TCP_CAUSE_DRAINED);
}

/* Also of events that came while the end was reported, or two at the same time. */
static void each_news_is_said_once(void **state)
{
	uint32_t told = WATCH_HOLDER | WATCH_REPORTED | WATCH_TOLD, both = told | WATCH_CLOSED;

	assert_int_equal(watch_news(told, WATCH_HOLDER), WATCH_TOLD);
	assert_int_equal(watch_news(told, WATCH_HOLDER | WATCH_TOLD), 0);
	assert_int_equal(watch_news(both, WATCH_HOLDER), WATCH_TOLD);
	assert_int_equal(watch_news(both, WATCH_HOLDER | WATCH_TOLD), WATCH_CLOSED);
	assert_int_equal(watch_news(both | WATCH_EXITING, both), 0);
	assert_int_equal(watch_news(both | WATCH_DEAD, both), WATCH_DEAD);
	assert_int_equal(watch_news(told | WATCH_FINISHED | WATCH_OTHERS, told), 0);
}

/* Many ends of few processes: each process is kept once, and no longer than one of its ends. */
static void a_process_is_kept_once(void **state)
{
	struct tw_owner a = process(7, 3, "one"), b = process(7 + HOLDERS_SLOTS, 4, "two");
	struct ends t;

	assert_int_equal(ends_init(&t), 0);
	for (uint64_t sk = 1; sk <= MANY; sk++) {
		add(&t, sk, "::1", (uint16_t)sk, "::1", 80, 1);
		ends_add_owner(&t, ends_find(&t, sk), &a);
		ends_add_owner(&t, ends_find(&t, sk), &a);
		ends_add_owner(&t, ends_find(&t, sk), &b);
	}
	assert_int_equal(t.holders.used, 2);
	assert_string_equal(names_of(&t, 1), "one[7] 3 two[1031] 4");
	a = process(7, 3, "execed");
	ends_drop_owners(&t, ends_find(&t, 2));
	assert_string_equal(names_of(&t, 2), "");
	ends_add_owner(&t, ends_find(&t, 2), &a);
	assert_string_equal(names_of(&t, 2), "execed[7] 3");
	for (uint64_t sk = 1; sk <= MANY; sk++)
		if (sk != 2)
			ends_remove(&t, ends_find(&t, sk));
	assert_string_equal(names_of(&t, 2), "execed[7] 3");
	for (int32_t pid = 1; pid <= 50; pid++) {
		a = process(pid, 5, "brief");
		add(&t, 9, "::1", 9, "::1", 80, 1);
		ends_add_owner(&t, ends_find(&t, 9), &a);
		ends_remove(&t, ends_find(&t, 9));
	}
	assert_int_equal(t.holders.used, 3);
	ends_free(&t);
}

/* A hundred thousand connections with both ends here are twice as many records. */
static void a_record_is_small(void **state)
{
	assert_true(sizeof(struct open_end) <= 80);
}

static void more_owners_than_are_kept_are_counted(void **state)
{
	struct tw_owner o;
	struct ends t;

	assert_int_equal(ends_init(&t), 0);
	add(&t, 1, "127.0.0.1", 1, "127.0.0.1", 80, 1);
	for (int32_t pid = 1; pid <= TW_MAX_OWNERS + 2; pid++) {
		o = process(pid, 1, "worker");
		ends_add_owner(&t, ends_find(&t, 1), &o);
	}
	assert_int_equal(ends_find(&t, 1)->owner_count, TW_MAX_OWNERS + 2);
	assert_int_equal(ends_owner(&t, ends_find(&t, 1), TW_MAX_OWNERS - 1, &o), true);
	assert_int_equal(o.pid, TW_MAX_OWNERS);
	assert_int_equal(ends_owner(&t, ends_find(&t, 1), TW_MAX_OWNERS, &o), false);
	assert_int_equal(t.holders.used, TW_MAX_OWNERS);
	ends_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns_mean_what_fnmatch_means),
		cmocka_unit_test(a_pattern_has_its_limit),
		cmocka_unit_test(a_refusal_names_what_is_missing),
		cmocka_unit_test(arguments_are_counted),
		cmocka_unit_test(both_ends_find_each_other),
		cmocka_unit_test(a_namesake_is_no_partner),
		cmocka_unit_test(partners_have_different_parts),
		cmocka_unit_test(removing_keeps_the_others),
		cmocka_unit_test(processes_are_counted_once),
		cmocka_unit_test(a_process_beyond_those_that_are_kept_counts),
		cmocka_unit_test(the_eldest_is_named_first),
		cmocka_unit_test(the_hidden_are_counted),
		cmocka_unit_test(data_that_nobody_takes_is_no_reply),
		cmocka_unit_test(half_the_threshold_is_quiet),
		cmocka_unit_test(told_is_of_one_process),
		cmocka_unit_test(each_news_is_said_once),
		cmocka_unit_test(a_process_is_kept_once),
		cmocka_unit_test(a_record_is_small),
		cmocka_unit_test(more_owners_than_are_kept_are_counted),
	};

	return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}
