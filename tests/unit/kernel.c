/* SPDX-License-Identifier: MIT */
/* Asking the kernel, with a kernel that answers wrongly: the other end of a socket pair. And the
 * decoders of /proc. */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/bpf/sockets.h"
#include "kernel/diag.h"
#include "kernel/link.h"
#include "kernel/netns.h"
#include "kernel/owners.h"
#include "kernel/proc.h"
#include "kernel/sockets.h"

struct answer {
	struct nlmsghdr nlh;
	struct inet_diag_msg msg;
};

/* What the hostile kernel does with one request. */
struct kernel {
	int fd;
	void (*reply)(int fd, uint32_t seq);
};

static void *serve(void *arg)
{
	struct kernel *k = arg;
	char request[512];
	struct nlmsghdr nlh;

	if (recv(k->fd, request, sizeof(request), 0) >= (ssize_t)sizeof(nlh)) {
		memcpy(&nlh, request, sizeof(nlh));
		k->reply(k->fd, nlh.nlmsg_seq);
	}
	return NULL;
}

static struct answer answer_of(uint32_t seq, uint8_t state)
{
	struct answer a = { .nlh = { .nlmsg_len = sizeof(a),
				     .nlmsg_type = SOCK_DIAG_BY_FAMILY,
				     .nlmsg_flags = NLM_F_MULTI,
				     .nlmsg_seq = seq },
			    .msg = { .idiag_family = AF_INET, .idiag_state = state } };

	return a;
}

static void send_done(int fd, uint32_t seq, uint16_t flags)
{
	struct {
		struct nlmsghdr nlh;
		int status;
	} done = { { sizeof(done), NLMSG_DONE, (uint16_t)(NLM_F_MULTI | flags), seq, 0 }, 0 };

	send(fd, &done, sizeof(done), 0);
}

static int count_one(const struct tcp_sample *s, void *arg)
{
	(*(unsigned *)arg)++;
	return 0;
}

/* Dumps from such a kernel; returns diag_dump()'s value. */
static int dump_from(void (*reply)(int fd, uint32_t seq), unsigned *count, struct err *e)
{
	struct kernel k = { .reply = reply };
	pthread_t thread;
	int pair[2], r;

	*count = 0;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	k.fd = pair[1];
	assert_int_equal(pthread_create(&thread, NULL, serve, &k), 0);
	r = diag_dump(pair[0], AF_INET, ~0u, count_one, count, e);
	pthread_join(thread, NULL);
	close(pair[0]);
	close(pair[1]);
	return r;
}

static void reply_well(int fd, uint32_t seq)
{
	struct answer a = answer_of(seq, TCPS_CLOSE_WAIT);

	send(fd, &a, sizeof(a), 0);
	send_done(fd, seq, 0);
}

static void reply_changed(int fd, uint32_t seq)
{
	struct answer a = answer_of(seq, TCPS_CLOSE_WAIT);

	a.nlh.nlmsg_flags |= NLM_F_DUMP_INTR;
	send(fd, &a, sizeof(a), 0);
	send_done(fd, seq, 0);
}

static void reply_cut(int fd, uint32_t seq)
{
	struct answer a = answer_of(seq, TCPS_CLOSE_WAIT);

	send(fd, &a, sizeof(a) - 4, 0);
	send_done(fd, seq, 0);
}

static void reply_short_message(int fd, uint32_t seq)
{
	struct answer a = answer_of(seq, TCPS_CLOSE_WAIT);

	a.nlh.nlmsg_len = sizeof(a.nlh) + 8;
	send(fd, &a, a.nlh.nlmsg_len, 0);
	send_done(fd, seq, 0);
}

static void reply_no_state(int fd, uint32_t seq)
{
	struct answer a = answer_of(seq, 77);

	send(fd, &a, sizeof(a), 0);
	send_done(fd, seq, 0);
}

static void reply_another_seq(int fd, uint32_t seq)
{
	struct answer a = answer_of(seq - 1, TCPS_CLOSE_WAIT);

	send(fd, &a, sizeof(a), 0);
	send_done(fd, seq, 0);
}

static void reply_error(int fd, uint32_t seq)
{
	struct {
		struct nlmsghdr nlh;
		struct nlmsgerr err;
	} a = { { sizeof(a), NLMSG_ERROR, 0, seq, 0 }, { .error = -ENOBUFS } };

	send(fd, &a, sizeof(a), 0);
}

/* The kernel gives up in the middle. */
static void reply_broken_off(int fd, uint32_t seq)
{
	struct answer a = answer_of(seq, TCPS_CLOSE_WAIT);
	struct {
		struct nlmsghdr nlh;
		int status;
	} done = { { sizeof(done), NLMSG_DONE, NLM_F_MULTI, seq, 0 }, -ENOBUFS };

	send(fd, &a, sizeof(a), 0);
	send(fd, &done, sizeof(done), 0);
}

static void reply_too_much(int fd, uint32_t seq)
{
	static char space[40000];
	struct answer a = answer_of(seq, TCPS_CLOSE_WAIT);

	for (size_t i = 0; i + sizeof(a) < sizeof(space); i += sizeof(a))
		memcpy(space + i, &a, sizeof(a));
	send(fd, space, sizeof(space), 0);
}

static void a_dump_is_whole_or_an_error(void **state)
{
	static const struct {
		void (*reply)(int fd, uint32_t seq);
		int wants;
		unsigned count;
	} cases[] = {
		{ reply_well, 0, 1 },
		{ reply_changed, -EINTR, 1 },
		{ reply_cut, -EBADMSG, 0 },
		{ reply_short_message, -EBADMSG, 0 },
		{ reply_no_state, -EBADMSG, 0 },
		{ reply_another_seq, 0, 0 },
		{ reply_error, -ENOBUFS, 0 },
		{ reply_broken_off, -ENOBUFS, 1 },
		{ reply_too_much, -EMSGSIZE, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err e = { 0 };
		unsigned count;

		assert_int_equal(dump_from(cases[i].reply, &count, &e), cases[i].wants);
		assert_int_equal(count, cases[i].count);
		assert_int_equal(e.text[0] != '\0', cases[i].wants != 0);
	}
}

static int find_listener(const struct tcp_sample *s, void *arg)
{
	const struct tcp_sample *wanted = arg;

	if (s->state != TCPS_LISTEN || !tcp_addr_equal(&s->local, &wanted->local))
		return 0;
	return s->send_q == 7 && s->recv_q == 0 && s->inode == wanted->inode ? 1 : 2;
}

/* The real kernel, by both ways of asking. */
static void a_listener_is_listed(void **state)
{
	struct tcp_addr any = { .family = AF_INET };
	struct tcp_sample wanted = { 0 };
	char space[28], link[32], path[64];
	socklen_t len = sizeof(space);
	_fd_ int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_fd_ int diag = -1;
	struct err e = { 0 };
	ssize_t n;

	assert_int_equal(tcp_addr_parse_host(&any, "127.0.0.1"), 0);
	assert_int_equal(bind(l, (void *)space, tcp_addr_to_sockaddr(&any, space, 28)), 0);
	assert_int_equal(listen(l, 7), 0);
	assert_int_equal(getsockname(l, (void *)space, &len), 0);
	assert_int_equal(tcp_addr_from_sockaddr(&wanted.local, space, len), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", l);
	n = readlink(path, link, sizeof(link));
	assert_true(n > 0);
	wanted.inode = (uint32_t)owner_socket_inode(link, (size_t)n);
	assert_true(wanted.inode > 0);
	diag = diag_open(&e);
	assert_true(diag >= 0);
	assert_int_equal(diag_dump_as(diag, AF_INET, TCP_BIT(TCPS_LISTEN), false, find_listener,
				      &wanted, &e),
			 1);
	close(diag); /* the rest of that dump is not wanted */
	diag = diag_open(&e);
	assert_int_equal(diag_dump_as(diag, AF_UNSPEC, TCP_BIT(TCPS_LISTEN), true, find_listener,
				      &wanted, &e),
			 1);
}

static void a_message_is_decoded_whole(void **state)
{
	struct answer m = answer_of(1, TCPS_CLOSE_WAIT);
	struct tcp_sample s = { 0 };

	m.msg.idiag_timer = TCP_TIMER_RETRANSMIT;
	m.msg.idiag_retrans = 3;
	m.msg.idiag_expires = 77;
	m.msg.idiag_rqueue = 11;
	m.msg.idiag_wqueue = 12;
	m.msg.idiag_uid = 13;
	m.msg.idiag_inode = 14;
	m.msg.id.idiag_if = 15;
	m.msg.id.idiag_sport = htons(16);
	m.msg.id.idiag_dport = htons(17);
	m.msg.id.idiag_cookie[0] = 0x89abcdef;
	m.msg.id.idiag_cookie[1] = 0x80000001;
	assert_int_equal(diag_decode(&m, sizeof(m), &s), 1);
	assert_true(s.cookie == 0x8000000189abcdef);
	assert_int_equal(s.timer, TCP_TIMER_RETRANSMIT);
	assert_int_equal(s.timer_ms, 77);
	assert_int_equal(s.retransmits, 3);
	assert_int_equal(s.recv_q, 11);
	assert_int_equal(s.send_q, 12);
	assert_int_equal(s.uid, 13);
	assert_int_equal(s.inode, 14);
	assert_int_equal(s.ifindex, 15);
	assert_int_equal(s.local.port, 16);
	assert_int_equal(s.peer.port, 17);
	m.msg.idiag_timer = TCP_TIMER_NONE; /* the rest of that field means nothing then */
	assert_int_equal(diag_decode(&m, sizeof(m), &s), 1);
	assert_int_equal(s.timer_ms, 0);
}

/* What another process sends to a netlink socket, ahead of the kernel's answer. */
static void send_forged(int to)
{
	struct sockaddr_nl name = { 0 };
	socklen_t len = sizeof(name);
	int protocol = 0;
	_fd_ int fd = -1;

	assert_int_equal(getsockname(to, (void *)&name, &len), 0);
	len = sizeof(protocol);
	assert_int_equal(getsockopt(to, SOL_SOCKET, SO_PROTOCOL, &protocol, &len), 0);
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	assert_true(fd >= 0);
	if (name.nl_pid == 0) { /* it gets its number when it is bound or first used */
		assert_int_equal(bind(to, (void *)&(struct sockaddr_nl){ AF_NETLINK, 0, 0, 0 },
				      sizeof(name)),
				 0);
		len = sizeof(name);
		assert_int_equal(getsockname(to, (void *)&name, &len), 0);
	}
	assert_int_equal(sendto(fd, "forged", 6, 0, (void *)&name, sizeof(name)), 6);
}

static void what_another_process_sends_is_passed_over(void **state)
{
	struct err e = { 0 };
	_fd_ int diag = diag_open(&e), rtnl = link_open(&e);
	unsigned count = 0;

	assert_true(diag >= 0 && rtnl >= 0);
	send_forged(diag);
	assert_int_equal(diag_dump(diag, AF_INET, TCP_BIT(TCPS_LISTEN), count_one, &count, &e), 0);
	send_forged(rtnl);
	assert_int_equal(link_set_up(rtnl, "no-such-link", true, &e), -ENODEV);
}

/* An rtnetlink socket that answers with `len` bytes of this message. */
static int set_up_from(struct nlmsghdr *nlh, size_t len)
{
	static uint32_t seq = 1; /* the kernel's own answer above was to the first request */
	struct err e = { 0 };
	int pair[2], r;

	nlh->nlmsg_seq = ++seq;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(send(pair[1], nlh, len, 0), len);
	r = link_set_up(pair[0], "x", true, &e);
	close(pair[0]);
	close(pair[1]);
	return r;
}

static void an_answer_of_rtnetlink_is_whole_or_an_error(void **state)
{
	struct {
		struct nlmsghdr nlh;
		int error;
	} a = { { sizeof(a), NLMSG_ERROR, 0, 0, 0 }, -EBUSY };

	assert_int_equal(set_up_from(&a.nlh, sizeof(a)), -EBUSY);
	a.error = 0;
	assert_int_equal(set_up_from(&a.nlh, sizeof(a)), 0);
	a.nlh.nlmsg_len = 0x80000010; /* mnl_nlmsg_ok() takes it */
	assert_int_equal(set_up_from(&a.nlh, sizeof(a)), -EBADMSG);
	a.nlh.nlmsg_len = sizeof(a) + 1;
	assert_int_equal(set_up_from(&a.nlh, sizeof(a)), -EBADMSG);
	a.nlh.nlmsg_len = sizeof(a);
	assert_int_equal(set_up_from(&a.nlh, 3), -EBADMSG);
	a.nlh.nlmsg_len = sizeof(a.nlh);
	assert_int_equal(set_up_from(&a.nlh, sizeof(a.nlh)), -EBADMSG);
}

static uint32_t age_of(uint32_t ticks, uint32_t tick_ns)
{
	struct sockets_record r = { .kind = SOCKETS_TCP,
				    .state = TCPS_CLOSE_WAIT,
				    .family = AF_INET,
				    .sent_ticks = ticks,
				    .received_ticks = ticks,
				    .ack_ticks = ticks };
	struct sockets_found f;

	assert_int_equal(sockets_decode(&r, sizeof(r), tick_ns, &f), sizeof(r));
	assert_int_equal(f.s.last_ack_recv_ms, f.s.last_data_sent_ms);
	assert_int_equal(f.s.last_ack_recv_ms, f.s.last_data_recv_ms);
	return f.s.last_ack_recv_ms;
}

/* A leak of 25 days is one: only a stamp of the next moment is no age. */
static void an_old_stamp_is_old(void **state)
{
	assert_int_equal(age_of(0, 1000000), 0);
	assert_int_equal(age_of(1, 1000000), 1);
	assert_int_equal(age_of(0x7fffffff, 1000000), 0x7fffffff);
	assert_int_equal(age_of(0x80000000, 1000000), 0x80000000);
	assert_int_equal(age_of(0x80000001, 1000000), 0x80000001);
	assert_int_equal(age_of(0u - 5000, 1000000), 0u - 5000);
	assert_int_equal(age_of(0u - 4999, 1000000), 0);
	assert_int_equal(age_of(UINT32_MAX, 1000000), 0);
	assert_int_equal(age_of(0x3fffffff, 4000000), 0xfffffffc); /* HZ=250 */
	assert_int_equal(age_of(0x40000000, 4000000), UINT32_MAX);
	assert_int_equal(age_of(0u - 1250, 4000000), UINT32_MAX);
	assert_int_equal(age_of(0u - 1249, 4000000), 0);
}

static void links_are_read(void **state)
{
	assert_int_equal(owner_socket_inode("socket:[123]", 12), 123);
	assert_int_equal(owner_socket_inode("socket:[123]", 11), 0);
	assert_int_equal(owner_socket_inode("socket:[]", 9), 0);
	assert_int_equal(owner_socket_inode("socket:[0]", 10), 0);
	assert_int_equal(owner_socket_inode("socket:[1x]", 11), 0);
	assert_int_equal(owner_socket_inode("pipe:[123]", 10), 0);
	assert_int_equal(owner_socket_inode("/tmp/socket:[1]", 15), 0);
}

static int decode_stat(const char *text, struct proc_stat *s)
{
	return proc_decode_stat(text, strlen(text), s);
}

#define UP_TO_25 "7 (a) b) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 "

static void what_is_executed_is_read(void **state)
{
	struct proc_image image = { 1, 2, 3 };
	static const char *const broken[] = { "", "7 (a) S 1", UP_TO_25 "26 27",
					      UP_TO_25 "x 27 28" };

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		assert_int_equal(proc_decode_image(broken[i], strlen(broken[i]), &image), -EBADMSG);
	assert_int_equal(image.code_start, 1);
	assert_int_equal(proc_decode_image(UP_TO_25 "26 27 28 29", strlen(UP_TO_25) + 11, &image),
			 0);
	assert_int_equal(image.code_start, 26);
	assert_int_equal(image.code_end, 27);
	assert_int_equal(image.stack_start, 28);
	/* What the kernel says where it may not be read. */
	assert_int_equal(proc_decode_image(UP_TO_25 "1 1 0 0", strlen(UP_TO_25) + 7, &image), 0);
	assert_int_equal(image.code_start | image.code_end | image.stack_start, 0);
}

static void a_living_thread_of_this_process_is_itself(void **state)
{
	assert_int_equal(proc_living_thread((uint32_t)getpid()), getpid());
	assert_int_equal(proc_living_thread(INT32_MAX), INT32_MAX);
}

static void stat_is_read(void **state)
{
	struct proc_stat s = { .comm = "as it was", .start = 5 };

	assert_int_equal(decode_stat("7 (nginx) S 1 2", &s), -EBADMSG);
	assert_int_equal(decode_stat("7 nginx S 1 2 3", &s), -EBADMSG);
	assert_int_equal(decode_stat("", &s), -EBADMSG);
	assert_int_equal(decode_stat("7 (a) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 "
				     "18446744073709551616",
				     &s),
			 -EBADMSG); /* 2^64 */
	assert_int_equal(decode_stat("7 (a) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 "
				     "184467440737095516150",
				     &s),
			 -EBADMSG);
	assert_string_equal(s.comm, "as it was");
	assert_int_equal(s.start, 5);
	assert_int_equal(decode_stat("7 (a) R 1 (b) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 "
				     "21 2222 23 24",
				     &s),
			 0);
	assert_string_equal(s.comm, "a) R 1 (b");
	assert_int_equal(s.start, 2222);
	assert_false(s.is_kernel_thread);
	assert_int_equal(
		decode_stat("2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 31 0 0 20 0 1 0 4 "
			    "0 0",
			    &s),
		0);
	assert_true(s.is_kernel_thread);
	assert_int_equal(s.start, 4);
	assert_int_equal(decode_stat("7 (a) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 "
				     "18446744073709551615",
				     &s),
			 0);
	assert_true(s.start == UINT64_MAX);
}

static void a_container_is_named(void **state)
{
#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	static const struct {
		const char *cgroup, *id;
	} cases[] = {
		{ "/system.slice/docker-" ID ".scope", ID },
		{ "/docker/" ID, ID },
		{ "/kubepods/burstable/pod1234/cri-containerd-" ID ".scope", ID },
		{ "/machine.slice/libpod-" ID ".scope/container", ID },
		{ "/lxc.payload.web/system.slice", "web" },
		{ "/lxc/web", "web" },
		{ "/machine.slice/machine-web.scope", "machine-web.scope" },
		{ "/user.slice/user-1000.slice", "" },
		{ "/docker/" ID "0", "" }, /* 65 digits are no id */
		{ "/", "" },
		{ "", "" },
	};
	char id[72];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(proc_container_id(cases[i].cgroup, id, sizeof(id)),
				 cases[i].id[0] != '\0');
		assert_string_equal(id, cases[i].id);
	}
}

static void the_longest_cgroup_path_is_it(void **state)
{
	static const char text[] = "12:cpu:/\n1:name=systemd:/a/b\n0::/\n";
	const char *path = NULL;
	size_t n = proc_decode_cgroup(text, strlen(text), &path);

	assert_int_equal(n, 4);
	assert_memory_equal(path, "/a/b", 4);
	assert_int_equal(proc_decode_cgroup("0:", 2, &path), 0);
	assert_int_equal(proc_decode_cgroup("", 0, &path), 0);
}

static void one_knows_oneself(void **state)
{
	struct netns_list l = { 0 };
	struct netns_numbers numbers;
	struct proc_info info = { 0 };
	struct err e = { 0 };

	assert_int_equal(proc_read((uint32_t)getpid(), &info), 0);
	assert_true(info.start > 0);
	assert_int_equal(info.netns, netns_own());
	assert_string_equal(info.comm, "unit_kernel");
	free(info.cgroup);
	assert_int_equal(proc_read(0x7ffffffe, &info), -ESRCH);
	assert_int_equal(netns_list(&l, &e), 0);
	assert_true(l.n >= 1);
	assert_int_equal(l.v[0].ino, netns_own());
	netns_list_free(&l);
	netns_numbers(&numbers);
	assert_true(numbers.port_lo > 0 && numbers.port_hi >= numbers.port_lo);
	assert_true(numbers.fin_timeout_ms >= 1000);
}

static void a_namespace_that_is_another_now_is_refused(void **state)
{
	struct netns ns = { .ino = 1, .path = "/proc/thread-self/ns/net" };
	struct err e = { 0 };

	assert_int_equal(netns_run(&ns, NULL, NULL, &e), -ESTALE);
	strcpy(ns.path, "/nonexistent");
	assert_int_equal(netns_run(&ns, NULL, NULL, &e), -ESTALE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_dump_is_whole_or_an_error),
		cmocka_unit_test(a_listener_is_listed),
		cmocka_unit_test(a_message_is_decoded_whole),
		cmocka_unit_test(what_another_process_sends_is_passed_over),
		cmocka_unit_test(an_answer_of_rtnetlink_is_whole_or_an_error),
		cmocka_unit_test(an_old_stamp_is_old),
		cmocka_unit_test(links_are_read),
		cmocka_unit_test(stat_is_read),
		cmocka_unit_test(what_is_executed_is_read),
		cmocka_unit_test(a_living_thread_of_this_process_is_itself),
		cmocka_unit_test(a_container_is_named),
		cmocka_unit_test(the_longest_cgroup_path_is_it),
		cmocka_unit_test(one_knows_oneself),
		cmocka_unit_test(a_namespace_that_is_another_now_is_refused),
	};

	return cmocka_run_group_tests_name("kernel", tests, NULL, NULL);
}
