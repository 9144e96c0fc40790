/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor/audit.h"
#include "kernel/destroy.h"
#include "kernel/holdcopy.h"
#include "kernel/session.h"
#include "tcp/release.h"

static struct census_socket a_socket(uint8_t state, uint8_t cause)
{
	struct census_socket s = { .listener = CENSUS_NONE, .held = { 0, 1 } };

	s.s.state = state;
	s.s.cookie = 7;
	s.v.cause = cause;
	return s;
}

static enum release_refusal judge(uint8_t state, uint8_t cause, enum release_method method)
{
	struct census_socket s = a_socket(state, cause);

	return release_judge(&s, method, &(struct release_named){ 0 }, RELEASE_KIN_NONE);
}

static void a_shutdown_takes_what_has_not_sent_its_fin(void **state)
{
	assert_int_equal(judge(TCPS_CLOSE_WAIT, TCP_CAUSE_UNREAD, RELEASE_SHUTDOWN), 0);
	assert_int_equal(judge(TCPS_CLOSE_WAIT, TCP_CAUSE_DRAINED, RELEASE_SHUTDOWN), 0);
	assert_int_equal(judge(TCPS_FIN_WAIT2, TCP_CAUSE_HALF_CLOSED_HERE, RELEASE_SHUTDOWN),
			 RELEASE_FIN_SENT);
	assert_int_equal(judge(TCPS_FIN_WAIT1, TCP_CAUSE_PEER_GONE, RELEASE_SHUTDOWN),
			 RELEASE_FIN_SENT);
	assert_int_equal(judge(TCPS_LAST_ACK, TCP_CAUSE_SEND_BLOCKED, RELEASE_SHUTDOWN),
			 RELEASE_FIN_SENT);
	assert_int_equal(judge(TCPS_FIN_WAIT2, TCP_CAUSE_HALF_CLOSED_HERE, RELEASE_RESET), 0);
	assert_int_equal(judge(TCPS_FIN_WAIT1, TCP_CAUSE_PEER_GONE, RELEASE_RESET), 0);
}

static void no_descriptor_no_shutdown(void **state)
{
	struct census_socket s = a_socket(TCPS_CLOSE_WAIT, TCP_CAUSE_NO_DESCRIPTOR);
	struct release_named named = { 0 };

	s.held.n = 0;
	assert_int_equal(release_judge(&s, RELEASE_SHUTDOWN, &named, 0), RELEASE_NO_DESCRIPTOR);
	assert_int_equal(release_judge(&s, RELEASE_RESET, &named, 0), 0);
	s.s.mptcp = TCP_MPTCP_CONNECTION;
	s.held.n = 1;
	assert_int_equal(release_judge(&s, RELEASE_SHUTDOWN, &named, 0), RELEASE_MPTCP_WHOLE);
	assert_int_equal(release_judge(&s, RELEASE_RESET, &named, 0), RELEASE_MPTCP_WHOLE);
	s.s.mptcp = TCP_MPTCP_SUBFLOW;
	assert_int_equal(release_judge(&s, RELEASE_SHUTDOWN, &named, 0), RELEASE_MPTCP);
	s.s.cookie = 0;
	assert_int_equal(release_judge(&s, RELEASE_RESET, &named, 0), RELEASE_NO_COOKIE);
}

static void what_is_in_use_must_be_named(void **state)
{
	static const struct {
		uint8_t state, cause, refusal;
		struct release_named named;
	} rows[] = {
		{ TCPS_ESTABLISHED, TCP_CAUSE_NONE, RELEASE_ESTABLISHED, { 0 } },
		{ TCPS_ESTABLISHED,
		  TCP_CAUSE_NONE,
		  RELEASE_ESTABLISHED,
		  { .causes = TCP_CAUSE_BIT(TCP_CAUSE_NONE) } },
		{ TCPS_ESTABLISHED, TCP_CAUSE_NONE, 0, { .states = TCP_BIT(TCPS_ESTABLISHED) } },
		{ TCPS_CLOSE_WAIT,
		  TCP_CAUSE_REPLYING,
		  RELEASE_REPLYING,
		  { .states = TCP_BIT(TCPS_CLOSE_WAIT) } },
		{ TCPS_CLOSE_WAIT,
		  TCP_CAUSE_REPLYING,
		  0,
		  { .causes = TCP_CAUSE_BIT(TCP_CAUSE_REPLYING) } },
		{ TCPS_TIME_WAIT, TCP_CAUSE_TIME_WAIT, RELEASE_TIME_WAIT, { 0 } },
		{ TCPS_TIME_WAIT, TCP_CAUSE_TIME_WAIT, 0, { .states = TCP_BIT(TCPS_TIME_WAIT) } },
		{ TCPS_FIN_WAIT1,
		  TCP_CAUSE_CLOSING,
		  RELEASE_CLOSING,
		  { .states = TCP_BIT(TCPS_FIN_WAIT1) } },
		{ TCPS_LISTEN,
		  TCP_CAUSE_NONE,
		  RELEASE_LISTENER,
		  { .states = TCP_BIT(TCPS_LISTEN) } },
		{ TCPS_SYN_SENT,
		  TCP_CAUSE_NONE,
		  RELEASE_NOT_BEGUN,
		  { .states = TCP_BIT(TCPS_SYN_SENT) } },
		{ TCPS_CLOSE, TCP_CAUSE_DEAD, RELEASE_DEAD, { .states = TCP_BIT(TCPS_CLOSE) } },
		{ TCPS_CLOSE,
		  TCP_CAUSE_NONE,
		  RELEASE_NOT_BEGUN,
		  { .states = TCP_BIT(TCPS_CLOSE) } },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct census_socket s = a_socket(rows[i].state, rows[i].cause);

		assert_int_equal(release_judge(&s, RELEASE_RESET, &rows[i].named, 0),
				 rows[i].refusal);
	}
}

/* Whatever was named, and in both ways: one's own are never touched. */
static void kin_comes_first(void **state)
{
	static const uint8_t wanted[] = {
		[RELEASE_KIN_INIT] = RELEASE_INIT,
		[RELEASE_KIN_SELF] = RELEASE_SELF,
		[RELEASE_KIN_ANCESTOR] = RELEASE_ANCESTOR,
		[RELEASE_KIN_SESSION] = RELEASE_SESSION,
		[RELEASE_KIN_SSH] = RELEASE_SSH,
		[RELEASE_KIN_UNTOLD] = RELEASE_KIN_UNKNOWN,
	};
	struct release_named all = { ~0u, ~0u };

	for (unsigned kin = RELEASE_KIN_INIT; kin <= RELEASE_KIN_UNTOLD; kin++) {
		struct census_socket s = a_socket(TCPS_CLOSE_WAIT, TCP_CAUSE_UNREAD);

		assert_int_equal(release_judge(&s, RELEASE_SHUTDOWN, &all, kin), wanted[kin]);
		assert_int_equal(release_judge(&s, RELEASE_RESET, &all, kin), wanted[kin]);
		s.s.state = TCPS_ESTABLISHED;
		assert_int_equal(release_judge(&s, RELEASE_RESET, &all, kin), wanted[kin]);
	}
}

static void every_name_and_text_is_there(void **state)
{
	for (unsigned i = 0; i < RELEASE_REFUSALS; i++) {
		assert_non_null(release_refusal_name(i));
		assert_non_null(release_refusal_text(i));
	}
	for (unsigned i = 0; i <= RELEASE_HIT_OTHER; i++)
		assert_string_not_equal(release_result_name(i), "?");
	assert_string_equal(release_refusal_name(RELEASE_REFUSALS), "?");
}

static void age_is_asked_again(void **state)
{
	struct census c = { 0 };
	struct census_socket then = a_socket(TCPS_CLOSE_WAIT, TCP_CAUSE_UNREAD);
	struct tcp_sample now = { .state = TCPS_CLOSE_WAIT,
				  .has_info = true,
				  .inode = 3,
				  .last_ack_recv_ms = 5000,
				  .last_data_recv_ms = 9000 };

	then.netns = CENSUS_NONE;
	assert_true(release_still_old(&c, &then, &now, 5000));
	assert_false(release_still_old(&c, &then, &now, 5001));
	now.state = TCPS_ESTABLISHED; /* whose age nobody knows */
	assert_false(release_still_old(&c, &then, &now, 1));
	assert_true(release_still_old(&c, &then, &now, 0));
}

static struct tcp_sample found(void)
{
	struct tcp_sample s = {
		.cookie = 5,
		.inode = 9,
		.state = TCPS_CLOSE_WAIT,
		.has_info = true,
		.bytes_sent = 10,
		.local = { .family = AF_INET, .port = 80, .bytes = { 127, 0, 0, 1 } },
		.peer = { .family = AF_INET, .port = 81, .bytes = { 127, 0, 0, 1 } }
	};

	return s;
}

static void a_copy_must_be_the_same_in_everything(void **state)
{
	struct tcp_sample want = found(), now = found();
	struct err e;

	assert_int_equal(holdcopy_compare(&want, &now, &e), 0);
	now.cookie = 6;
	assert_int_equal(holdcopy_compare(&want, &now, &e), -ESTALE);
	now = found();
	now.inode = 10;
	assert_int_equal(holdcopy_compare(&want, &now, &e), -ESTALE);
	now = found();
	now.peer.port = 82;
	assert_int_equal(holdcopy_compare(&want, &now, &e), -ESTALE);
	assert_string_equal(e.text, "its peer was 127.0.0.1:81 and is 127.0.0.1:82 now");
	now = found();
	now.peer.bytes[3] = 2;
	assert_int_equal(holdcopy_compare(&want, &now, &e), -ESTALE);
	now = found();
	now.local.port = 82;
	assert_int_equal(holdcopy_compare(&want, &now, &e), -ESTALE);
	now = found();
	now.state = TCPS_LAST_ACK;
	assert_int_equal(holdcopy_compare(&want, &now, &e), -ESTALE);
	assert_string_equal(e.text, "its state was CLOSE_WAIT and is LAST_ACK now");
	now = found();
	now.bytes_sent = 11;
	assert_int_equal(holdcopy_compare(&want, &now, &e), -ESTALE);
	want.cookie = now.cookie = 0; /* unknown is not equal */
	now.bytes_sent = 10;
	assert_int_equal(holdcopy_compare(&want, &now, &e), -ESTALE);
}

static void only_tcp_is_asked(void **state)
{
	struct tcp_sample s = { .cookie = 77 };
	struct err e;
	int pipes[2], fd;

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(holdcopy_ask(pipes[0], &s, &e), -ENOTSOCK);
	close(pipes[0]);
	close(pipes[1]);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(holdcopy_ask(fd, &s, &e), -ENOTSOCK);
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(holdcopy_ask(fd, &s, &e), -ENOTCONN);
	assert_int_equal(s.cookie, 77); /* untouched */
	close(fd);
	assert_int_equal(holdcopy_take((uint32_t)getpid(), 9999, &e), -EBADF);
	assert_int_equal(holdcopy_take(0x3fffffff, 0, &e), -ESRCH);
}

static void states_that_a_shutdown_does_not_end_are_left(void **state)
{
	struct err e;
	uint8_t after;

	assert_int_equal(holdcopy_shutdown(-1, TCPS_FIN_WAIT2, &after, &e), -EINVAL);
	assert_int_equal(holdcopy_shutdown(-1, TCPS_LISTEN, &after, &e), -EINVAL);
	assert_int_equal(holdcopy_shutdown(-1, TCPS_CLOSE_WAIT, &after, &e), -EBADF);
}

static void another_connection_that_was_hit_is_noticed(void **state)
{
	assert_true(holdcopy_hit_other(TCPS_CLOSE_WAIT, TCPS_FIN_WAIT1));
	assert_true(holdcopy_hit_other(TCPS_CLOSE_WAIT, TCPS_FIN_WAIT2));
	assert_true(holdcopy_hit_other(TCPS_CLOSE_WAIT, TCPS_CLOSING));
	assert_false(holdcopy_hit_other(TCPS_CLOSE_WAIT, TCPS_LAST_ACK));
	assert_false(holdcopy_hit_other(TCPS_CLOSE_WAIT, TCPS_CLOSE));
	assert_false(holdcopy_hit_other(TCPS_CLOSE_WAIT, TCPS_ESTABLISHED)); /* connected after */
	assert_false(holdcopy_hit_other(TCPS_CLOSE_WAIT, TCPS_SYN_SENT));
	assert_false(holdcopy_hit_other(TCPS_ESTABLISHED, TCPS_FIN_WAIT2));
}

static void nothing_is_destroyed_unidentified(void **state)
{
	struct tcp_sample s = found();
	struct err e;

	s.cookie = 0;
	assert_int_equal(destroy_socket(-1, &s, &e), -EINVAL);
	s = found();
	s.state = TCPS_LISTEN;
	assert_int_equal(destroy_socket(-1, &s, &e), -EINVAL);
	s = found();
	s.peer.port = 0;
	assert_int_equal(destroy_socket(-1, &s, &e), -EINVAL);
}

static void answers_to_a_destroy_are_read(void **state)
{
	struct {
		struct nlmsghdr h;
		struct nlmsgerr err;
	} m = { { .nlmsg_len = sizeof(m), .nlmsg_type = NLMSG_ERROR, .nlmsg_seq = 4 }, { 0 } };
	int result = 99;

	assert_int_equal(destroy_decode(&m, sizeof(m), 5, &result), 0);
	assert_int_equal(destroy_decode(&m, sizeof(m) - 1, 4, &result), -EBADMSG);
	assert_int_equal(result, 99);
	assert_int_equal(destroy_decode(&m, sizeof(m), 4, &result), 1);
	assert_int_equal(result, 0);
	m.err.error = -ENOENT;
	assert_int_equal(destroy_decode(&m, sizeof(m), 4, &result), 1);
	assert_int_equal(result, -ENOENT);
	m.err.error = 5;
	assert_int_equal(destroy_decode(&m, sizeof(m), 4, &result), -EBADMSG);
	m.h.nlmsg_type = NLMSG_DONE;
	assert_int_equal(destroy_decode(&m, sizeof(m), 4, &result), -EBADMSG);
	m.h.nlmsg_len = sizeof(m.h) + 2;
	m.h.nlmsg_type = NLMSG_ERROR;
	assert_int_equal(destroy_decode(&m, sizeof(m), 4, &result), -EBADMSG);
}

static int stat_of(const char *text, struct session_stat *s)
{
	return session_decode_stat(text, strlen(text), s);
}

static void stat_lines_are_read_past_any_name(void **state)
{
	struct session_stat s = { 0 };

	assert_int_equal(stat_of("12 (sh) S 11 12 13 34816 5 0", &s), 0);
	assert_int_equal(s.parent, 11);
	assert_int_equal(s.session, 13);
	assert_int_equal(s.tty, 34816);
	assert_int_equal(stat_of("12 (a) S 1 2 3 4) R 21 22 23 0 -1 0\n", &s), 0);
	assert_int_equal(s.parent, 21);
	assert_int_equal(s.session, 23);
	assert_int_equal(stat_of("12 () S 1 -1 2 -5", &s), 0);
	assert_int_equal(s.tty, -5);
	assert_int_equal(stat_of("", &s), -EBADMSG);
	assert_int_equal(stat_of("12 (sh", &s), -EBADMSG);
	assert_int_equal(stat_of("12 (sh) S 1 2 3", &s), -EBADMSG);
	assert_int_equal(stat_of("12 (sh) S 1 2 x 3", &s), -EBADMSG);
	assert_int_equal(stat_of("12 (sh) S 99999999999 2 3 4", &s), -EBADMSG);
	assert_int_equal(stat_of("12 (sh)", &s), -EBADMSG);
	assert_int_equal(s.tty, -5);
}

static void the_connection_of_a_session_is_known(void **state)
{
	struct session s = { .remote = true };
	struct tcp_addr a, b;

	assert_int_equal(session_decode_ssh("10.0.0.9 50000 10.0.0.1 22", &s.client, &s.server), 0);
	assert_int_equal(tcp_addr_parse_host(&a, "::ffff:10.0.0.1"), 0);
	a.port = 22;
	b = s.client;
	assert_true(session_is_remote(&s, &a, &b));
	assert_true(session_is_remote(&s, &b, &a));
	b.port = 50001;
	assert_false(session_is_remote(&s, &a, &b));
	s.remote = false;
	b.port = 50000;
	assert_false(session_is_remote(&s, &a, &b));
	assert_int_equal(session_decode_ssh("10.0.0.9 50000 10.0.0.1", &a, &b), -EBADMSG);
	assert_int_equal(session_decode_ssh("10.0.0.9 x 10.0.0.1 22", &a, &b), -EBADMSG);
	assert_int_equal(session_decode_ssh("10.0.0.9 1 10.0.0.1 22 x", &a, &b), -EBADMSG);
	assert_int_equal(session_decode_ssh("", &a, &b), -EBADMSG);
}

static void the_caller_knows_its_kin(void **state)
{
	struct session s;
	struct err e;

	assert_int_equal(session_read(&s, NULL, &e), 0);
	assert_int_equal(session_kin(&s, (uint32_t)getpid()), SESSION_SELF);
	assert_int_equal(session_kin(&s, 1), SESSION_INIT);
	if (getppid() > 1)
		assert_int_equal(session_kin(&s, (uint32_t)getppid()), SESSION_ANCESTOR);
	assert_int_equal(session_kin(&s, 0x3fffffff), -ESRCH);
}

static void the_audit_file_has_a_place(void **state)
{
	char path[256];
	struct err e;

	assert_int_equal(audit_default(path, 0, "/x", "/h", &e), 0);
	assert_string_equal(path, "/var/log/unclosed-release.jsonl");
	assert_int_equal(audit_default(path, 5, "/x", "/h", &e), 0);
	assert_string_equal(path, "/x/unclosed/release.jsonl");
	assert_int_equal(audit_default(path, 5, "relative", "/h", &e), 0);
	assert_string_equal(path, "/h/.local/state/unclosed/release.jsonl");
	assert_int_equal(audit_default(path, 5, NULL, NULL, &e), -ENOENT);
}

static void read_file(const char *path, char *text, size_t cap)
{
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	text[fread(text, 1, cap - 1, f)] = '\0';
	fclose(f);
}

static void audit_lines_are_whole(void **state)
{
	char dir[] = "/tmp/unclosed-audit-XXXXXX", path[64], text[256];
	struct audit a, second;
	struct rlimit small, old;
	struct stat st;
	struct err e;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a/b.jsonl", dir);
	assert_int_equal(audit_open(&a, path, false, &e), -ENOENT);
	assert_int_equal(audit_open(&a, path, true, &e), 0);
	assert_int_equal(fstat(a.fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(audit_open(&second, path, false, &e), -EWOULDBLOCK);
	assert_int_equal(audit_reserve(&a, 4096, &e), 0);
	assert_int_equal(audit_write(&a, "one\n", 4, &e), 0);
	audit_close(&a);
	read_file(path, text, sizeof(text));
	assert_string_equal(text, "one\n");

	assert_int_equal(truncate(path, 2), 0); /* a crash in the middle of a line */
	assert_int_equal(audit_open(&a, path, false, &e), 0);
	assert_int_equal(audit_write(&a, "two\n", 4, &e), 0);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small = (struct rlimit){ 10, old.rlim_max };
	setrlimit(RLIMIT_FSIZE, &small);
	assert_int_equal(audit_write(&a, "a line that does not fit\n", 25, &e), -EFBIG);
	setrlimit(RLIMIT_FSIZE, &old);
	audit_close(&a);
	read_file(path, text, sizeof(text));
	assert_string_equal(text, "on\ntwo\n"); /* what had been written of it is gone again */

	unlink(path);
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_int_equal(audit_open(&a, path, false, &e), -ELOOP);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(audit_open(&a, path, false, &e), -EINVAL);
	unlink(path);
	*strrchr(path, '/') = '\0';
	rmdir(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_shutdown_takes_what_has_not_sent_its_fin),
		cmocka_unit_test(no_descriptor_no_shutdown),
		cmocka_unit_test(what_is_in_use_must_be_named),
		cmocka_unit_test(kin_comes_first),
		cmocka_unit_test(every_name_and_text_is_there),
		cmocka_unit_test(age_is_asked_again),
		cmocka_unit_test(a_copy_must_be_the_same_in_everything),
		cmocka_unit_test(only_tcp_is_asked),
		cmocka_unit_test(states_that_a_shutdown_does_not_end_are_left),
		cmocka_unit_test(another_connection_that_was_hit_is_noticed),
		cmocka_unit_test(nothing_is_destroyed_unidentified),
		cmocka_unit_test(answers_to_a_destroy_are_read),
		cmocka_unit_test(stat_lines_are_read_past_any_name),
		cmocka_unit_test(the_connection_of_a_session_is_known),
		cmocka_unit_test(the_caller_knows_its_kin),
		cmocka_unit_test(the_audit_file_has_a_place),
		cmocka_unit_test(audit_lines_are_whole),
	};

	return cmocka_run_group_tests_name("release", tests, NULL, NULL);
}
