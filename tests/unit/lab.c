/* SPDX-License-Identifier: MIT */
/* Parts of the lab that a run shows only on a bad day. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lab/actor.h"
#include "lab/isolate.h"
#include "lab/lab.h"
#include "lab/late.h"
#include "lab/trace.h"
#include "lab/wire.h"
#include "unit.h"

#define MS 1000000LL

static struct late_delivery segment(enum tl_side from, uint32_t seq, uint32_t end, uint32_t ack,
				    int64_t at_ns)
{
	return (struct late_delivery){ .conn = 3,
				       .from = (uint8_t)from,
				       .acknowledges = true,
				       .seq = seq,
				       .end = end,
				       .ack = ack,
				       .at_ns = at_ns };
}

static bool ours(const struct late *l, struct late_delivery d)
{
	return late_is_ours(l, &d);
}

/* A FIN sent at 100 ms, and again at 150, waits on the wire until 180. */
static void a_copy_sent_while_the_first_waited_is_ours(void **state)
{
	struct late l = { .next = 0 };
	struct late_delivery fin = segment(TL_CLIENT, 0xffffffff, 0, 1, 180 * MS);

	assert_false(ours(&l, segment(TL_CLIENT, 0xffffffff, 0, 1, 150 * MS)));
	late_note(&l, &fin);
	assert_true(ours(&l, segment(TL_CLIENT, 0xffffffff, 0, 1, 150 * MS)));
	/* It was sent after the first had arrived: its ACK is lost, or the scenario's. */
	assert_false(ours(&l, segment(TL_CLIENT, 0xffffffff, 0, 1, 190 * MS)));
	/* Other bytes, the other end, another connection, no stamp. */
	assert_false(ours(&l, segment(TL_CLIENT, 0xfffffffe, 0xffffffff, 1, 150 * MS)));
	assert_false(ours(&l, segment(TL_SERVER, 2, 5, 0, 150 * MS)));
	fin = segment(TL_CLIENT, 0xffffffff, 0, 1, 150 * MS);
	fin.conn = 4;
	assert_false(ours(&l, fin));
	assert_false(ours(&l, segment(TL_CLIENT, 0xffffffff, 0, 1, 0)));
	/* What takes no sequence number repeats nothing: a second ACK may be one that is wanted. */
	assert_false(ours(&l, segment(TL_CLIENT, 0, 0, 1, 150 * MS)));
}

/* The FIN arrived at once; its ACK waited on the wire from 100 ms until 180. */
static void a_copy_sent_while_its_ack_waited_is_ours(void **state)
{
	struct late l = { .next = 0 };
	struct late_delivery fin = segment(TL_CLIENT, 7, 8, 1, 100 * MS);
	struct late_delivery ack = segment(TL_SERVER, 1, 1, 8, 180 * MS);

	late_note(&l, &fin);
	assert_false(ours(&l, segment(TL_CLIENT, 7, 8, 1, 150 * MS)));
	late_note(&l, &ack);
	assert_true(ours(&l, segment(TL_CLIENT, 7, 8, 1, 150 * MS)));
	assert_false(ours(&l, segment(TL_CLIENT, 7, 8, 1, 190 * MS)));
	assert_false(ours(&l, segment(TL_CLIENT, 7, 9, 1, 150 * MS)));
	for (int i = 0; i < LATE_REMEMBERED; i++) /* what is long past is forgotten */
		late_note(&l, &(struct late_delivery){ .conn = 5, .at_ns = 1 });
	assert_false(ours(&l, segment(TL_CLIENT, 7, 8, 1, 150 * MS)));
}

/* A host that cannot be entered: the child ends before or after it is traced, and says why. */
static void an_actor_that_cannot_be_set_up_says_why(void **state)
{
	const struct lab_net nowhere = { .host_ns = { -1, -1 } };
	const struct trace_hooks none = { .arg = NULL };
	static struct record rec;
	static struct trace trace;
	int *failure = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			    -1, 0);

	assert_ptr_not_equal(failure, MAP_FAILED);
	trace_start(&trace, &rec, &none);
	for (int i = 0; i < 30; i++) {
		struct err e = { 0 };
		struct actor a;
		int status, r = actor_start_puppet(&a, &nowhere, &trace, 0, TL_CLIENT, "someone",
						   failure, &e);

		if (r < 0) {
			assert_int_equal(r, -EPERM);
			assert_string_equal(e.text, "someone ended with status 127 before it could "
						    "be watched: Bad file descriptor");
		}
		while (waitpid(a.pid, &status, __WALL) == a.pid && WIFSTOPPED(status))
			trace_handle(&trace, a.pid, status, &e);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 127);
		trace_handle(&trace, a.pid, status, &e);
		assert_string_equal(actor_failure(&a), "Bad file descriptor");
		actor_free(&a);
	}
	trace_free(&trace);
	munmap(failure, sizeof(int));
}

/* Which switch is off differs from host to host: only that something is said. */
static void a_refusal_says_what_allows_it(void **state)
{
	static const int refusals[] = { -EPERM, -EACCES, -EROFS };
	struct err e;

	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		e = (struct err){ "making a thing: no" };
		assert_int_equal(isolate_explain(refusals[i], &e), refusals[i]);
		assert_memory_equal(e.text, "making a thing: no (", 20);
		assert_non_null(strpbrk(e.text + 20, "'-")); /* a command, or an option */
	}
	assert_non_null(strstr(e.text, "/proc/sys is read-only"));
	e = (struct err){ "making a thing: no" };
	assert_int_equal(isolate_explain(-ENOMEM, &e), -ENOMEM);
	assert_string_equal(e.text, "making a thing: no");
	assert_int_equal(isolate_explain(0, &e), 0);
	assert_string_equal(e.text, "making a thing: no");
}

/* A child that sleeps, or that never does. */
static pid_t make_child(bool sleeps)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails ends it, too */
		while (sleeps)
			pause();
		for (;;)
			__asm__ volatile("");
	}
	assert_true(pid > 0);
	return pid;
}

static void end_child(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, __WALL), pid);
}

/* Handles what the actors do until all of them sleep. */
static bool falls_asleep(struct lab *lab)
{
	for (int i = 0; i < 10000; i++) {
		struct err e = { 0 };
		int status;
		pid_t pid = lab->trace.rec ? waitpid(-1, &status, WNOHANG | __WALL) : 0;

		if (pid > 0)
			trace_handle(&lab->trace, pid, status, &e);
		else if (lab_is_asleep(lab, -1))
			return true;
		else
			usleep(1000);
	}
	return false;
}

static void one_that_computes_is_not_asleep(void **state)
{
	static struct lab lab = { .own_proc = true };
	const pid_t sleeper = make_child(true), spinner = make_child(false);

	lab.trace.tasks[0] = (struct trace_task){ .tid = sleeper, .tgid = sleeper, .actor = 0 };
	lab.trace.ntasks = 1;
	assert_true(falls_asleep(&lab));
	lab.trace.tasks[1] = (struct trace_task){ .tid = spinner, .tgid = spinner, .actor = 1 };
	lab.trace.ntasks = 2;
	for (int i = 0; i < 100; i++)
		assert_false(lab_is_asleep(&lab, -1) || lab_is_asleep(&lab, 1));
	assert_true(lab_is_asleep(&lab, 0));
	end_child(spinner); /* who is gone does nothing either */
	assert_true(lab_is_asleep(&lab, -1));
	end_child(sleeper);
}

/* Waits until the actor stands still for its tracer, which has not looked so far. */
static void await_stop(pid_t pid)
{
	siginfo_t news = { 0 };

	assert_int_equal(waitid(P_PID, (id_t)pid, &news, WSTOPPED | WNOWAIT | __WALL), 0);
}

/* A signal stops it: first it stands still for the tracer, as at any call, and is about to do
 * something; then until SIGCONT. */
static void one_that_a_signal_stopped_is_asleep(void **state)
{
	const struct lab_net net = { .loopback = true };
	const struct trace_hooks none = { .arg = NULL };
	static struct record rec;
	static struct lab lab = { .own_proc = true };
	int *failure = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			    -1, 0);
	struct err e = { 0 };
	struct actor a;
	int status;

	assert_ptr_not_equal(failure, MAP_FAILED);
	trace_start(&lab.trace, &rec, &none);
	assert_int_equal(
		actor_start_puppet(&a, &net, &lab.trace, 0, TL_CLIENT, "someone", failure, &e), 0);
	assert_true(falls_asleep(&lab));
	assert_int_equal(kill(a.pid, SIGSTOP), 0);
	for (int i = 0; !lab.trace.tasks[0].stopped; i++) {
		assert_true(i < 3);
		await_stop(a.pid);
		assert_false(lab_is_asleep(&lab, -1));
		assert_int_equal(waitpid(a.pid, &status, __WALL), a.pid);
		trace_handle(&lab.trace, a.pid, status, &e);
	}
	assert_true(lab_is_asleep(&lab, -1));
	assert_int_equal(kill(a.pid, SIGCONT), 0);
	await_stop(a.pid);
	assert_false(lab_is_asleep(&lab, -1));
	assert_true(falls_asleep(&lab));
	assert_false(lab.trace.tasks[0].stopped);
	end_child(a.pid);
	actor_free(&a);
	trace_free(&lab.trace);
	munmap(failure, sizeof(int));
}

/* A socket that stands for one of the wire's ends, and the host that it faces. UDP has receive
 * stamps as packet sockets do. */
static void make_end(int *wire, int *host)
{
	struct sockaddr_in at[2] = { { .sin_family = AF_INET }, { .sin_family = AF_INET } };
	int fds[2], one = 1;

	for (int i = 0; i < 2; i++) {
		socklen_t len = sizeof(at[i]);

		at[i].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		assert_int_equal(bind(fds[i], (struct sockaddr *)&at[i], len), 0);
		assert_int_equal(getsockname(fds[i], (struct sockaddr *)&at[i], &len), 0);
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(connect(fds[i], (struct sockaddr *)&at[!i], sizeof(at[!i])), 0);
	assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one)), 0);
	*wire = fds[0];
	*host = fds[1];
}

/* The kernel begins to stamp what it receives a little after it is first asked to. Returns false
 * where it does not. */
static bool stamps_come(int wire, int host)
{
	for (int i = 0; i < 2000; i++) {
		char byte, control[64] __attribute__((aligned(8)));
		struct iovec iov = { &byte, 1 };
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = control,
				      .msg_controllen = sizeof(control) };
		struct timespec sent, stamp;

		assert_int_equal(send(host, "?", 1, 0), 1);
		clock_gettime(CLOCK_REALTIME, &sent);
		assert_int_equal(recvmsg(wire, &msg, 0), 1);
		memcpy(&stamp, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(stamp));
		if (stamp.tv_sec < sent.tv_sec ||
		    (stamp.tv_sec == sent.tv_sec && stamp.tv_nsec <= sent.tv_nsec))
			return true;
		usleep(1000);
	}
	return false;
}

/* Of two frames that wait, the one that was sent first goes first, whichever host sent it. */
static void the_first_sent_is_carried_first(void **state)
{
	static struct record rec;
	static struct wire wire;
	struct lab_net net = { .loopback = false };
	int host[2];

	for (int side = 0; side < 2; side++) {
		make_end(&net.packet[side], &host[side]);
		assert_true(stamps_come(net.packet[side], host[side]));
	}
	wire_start(&wire, &net, &rec, 1, 0);
	for (int first = 0; first < 2; first++) {
		struct err e = { 0 };
		char byte = 0;

		assert_int_equal(send(host[first], "1", 1, 0), 1);
		assert_int_equal(send(host[!first], "2", 1, 0), 1);
		assert_int_equal(wire_carry(&wire, &e), 1);
		assert_int_equal(recv(host[!first], &byte, 1, 0), 1);
		assert_int_equal(byte, '1');
		assert_int_equal(recv(host[first], &byte, 1, 0), -1);
		assert_int_equal(wire_carry(&wire, &e), 1);
		assert_int_equal(recv(host[first], &byte, 1, 0), 1);
		assert_int_equal(wire_carry(&wire, &e), 0);
	}
	for (int side = 0; side < 2; side++) {
		close(host[side]);
		close(net.packet[side]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_copy_sent_while_the_first_waited_is_ours),
		cmocka_unit_test(a_copy_sent_while_its_ack_waited_is_ours),
		cmocka_unit_test(the_first_sent_is_carried_first),
		cmocka_unit_test(an_actor_that_cannot_be_set_up_says_why),
		cmocka_unit_test(a_refusal_says_what_allows_it),
		cmocka_unit_test(one_that_computes_is_not_asleep),
		cmocka_unit_test(one_that_a_signal_stopped_is_asleep),
	};

	return cmocka_run_group_tests_name("lab", tests, NULL, NULL);
}
