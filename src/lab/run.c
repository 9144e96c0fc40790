/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * One process, one loop. In each turn it does the first of these that there is to do.
 *
 * First, carry one packet (wire.h): packets come before everything else, so that what a program
 * does next is seen after what made it do so.
 *
 * Second, handle one stop (trace.h): an actor stands still until then.
 *
 * Third, read the actors' output.
 *
 * Last, look at the script's pending request, or take its next one (ops.h).
 *
 * Where there is nothing, it sleeps in ppoll(). The kernels of both hosts are only asked between
 * such steps, so every event has the states that it led to.
 *
 * The run ends when the script has ended, or has been decided, or its time is over. Then both ends
 * are looked at once more, and the process exits, which ends every actor with it.
 */
#include "lab/run.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "lab/isolate.h"
#include "lab/lab.h"
#include "lab/ops.h"
#include "lab/room.h"

/* Longest sleep while nothing is awaited: the run's own deadline is looked at as often. */
#define IDLE_NS (100 * CLOCK_NS_PER_MS)

struct tl_run *lab_run_new(void)
{
	void *p = mmap(NULL, sizeof(struct tl_run), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	madvise(p, sizeof(struct tl_run), MADV_DONTFORK); /* no other run has it */
	return p;
}

void lab_run_free(struct tl_run *run)
{
	if (run)
		munmap(run, sizeof(*run));
}

static void on_listens(void *arg, int actor, uint16_t port)
{
	struct lab *lab = arg;

	lab->actors[actor].listens = port;
}

static void on_executed(void *arg, int actor)
{
	struct lab *lab = arg;

	lab->actors[actor].executed = true;
}

/* What a call sent waits on the wire when the call returns: it is carried before the return is
 * looked at, so that the order does not depend on which was noticed first. A bounded number: the
 * run's deadline is looked at between. An error shows again in the loop. */
static void carry_first(struct lab *lab)
{
	struct err e = { 0 };

	for (int n = 0; n < 64 && wire_carry(&lab->wire, &e) > 0; n++)
		lab->carried++;
}

/* Handles everything that waitpid(2) has to say. Returns true where that was anything. */
static bool reap(struct lab *lab)
{
	struct err e = { 0 };
	int status;
	pid_t pid = waitpid(-1, &status, WNOHANG | __WALL);

	if (pid <= 0)
		return false;
	if (WIFSTOPPED(status))
		carry_first(lab);
	trace_handle(&lab->trace, pid, status, &e);
	if (!WIFEXITED(status) && !WIFSIGNALED(status))
		return true;
	for (int i = 0; i < lab->nactors; i++) {
		if (lab->actors[i].pid != pid ||
		    lab->actors[i].exited) /* an earlier one's number */
			continue;
		lab->actors[i].exited = true;
		lab->actors[i].status = status;
		actor_read_output(&lab->actors[i]);
	}
	return true;
}

static bool read_outputs(struct lab *lab)
{
	bool any = false;

	for (int i = 0; i < lab->nactors; i++)
		any |= actor_read_output(&lab->actors[i]);
	return any;
}

/* Sleeps until anything happens that the loop looks at. */
static void wait_for_anything(struct lab *lab, int signals)
{
	struct pollfd fds[4 + 3 * ACTOR_MAX];
	nfds_t n = 0;
	int64_t ns = ops_next_ns(lab), due = wire_next_due_us(&lab->wire);
	struct timespec ts;

	if (ns < 0)
		ns = IDLE_NS;
	if (due >= 0 && due * 1000 < ns)
		ns = due * 1000;
	fds[n++] = (struct pollfd){ signals, POLLIN, 0 };
	for (int side = 0; side < 2; side++)
		if (lab->net.packet[side] >= 0)
			fds[n++] = (struct pollfd){ lab->net.packet[side], POLLIN, 0 };
	if (lab->room >= 0 && !lab->pending.op)
		fds[n++] = (struct pollfd){ lab->room, POLLIN, 0 };
	for (int i = 0; i < lab->nactors; i++) {
		const struct actor *a = &lab->actors[i];

		for (int j = 0; j < 2; j++)
			if (a->output[j] >= 0)
				fds[n++] = (struct pollfd){ a->output[j], POLLIN, 0 };
		/* Others' answers wait until the script asks for them. */
		if (a->command >= 0 && lab->pending.op && lab->pending.actor == i)
			fds[n++] = (struct pollfd){ a->command, POLLIN, 0 };
	}
	ts = (struct timespec){ ns / CLOCK_NS_PER_S, ns % CLOCK_NS_PER_S };
	if (ppoll(fds, n, &ts, NULL) > 0 && fds[0].revents) {
		struct signalfd_siginfo info;

		while (read(signals, &info, sizeof(info)) > 0)
			continue;
	}
}

static void out_of_time(struct lab *lab)
{
	char text[256], limit[32];

	snprintf(text, sizeof(text), "%s%s the scenario is not done after %s (see --timeout)",
		 lab->pending.where, lab->pending.where[0] ? ":" : "",
		 num_duration_text(lab->options->timeout_ns, limit, sizeof(limit)));
	record_finish(&lab->rec, TL_BROKEN, text);
	lab->done = true;
}

static void loop(struct lab *lab, int signals)
{
	int64_t end = lab->rec.start_ns + lab->options->timeout_ns;
	struct err e = { 0 };

	while (!lab->done) {
		bool late = clock_mono_ns() > end;
		int r = late ? 0 : wire_carry(&lab->wire, &e);

		if (late) {
			out_of_time(lab);
			break;
		}
		if (r < 0) {
			record_finish(&lab->rec, TL_BROKEN, e.text);
			return;
		}
		lab->carried += (uint64_t)r;
		/* Packets and output without end must not keep a step from being late. */
		if ((r > 0 || reap(lab) || read_outputs(lab)) && ops_next_ns(lab) != 0)
			continue;
		ops_poll(lab);
		ops_receive(lab);
		if (!lab->done)
			wait_for_anything(lab, signals);
	}
}

/* The script has ended; what the actors are about is still seen to its end. Nothing to poll(2) says
 * that a task has gone to sleep: that is asked every fifth of a millisecond. */
static void settle(struct lab *lab)
{
	const struct timespec moment = { 0, CLOCK_NS_PER_MS / 5 };
	int64_t end = clock_mono_ns() + LAB_SETTLE_NS;
	struct err e = { 0 };

	while (lab->run->status == TL_RUNNING && clock_mono_ns() < end && !lab_is_settled(lab))
		if (wire_carry(&lab->wire, &e) <= 0 && !reap(lab) && !read_outputs(lab))
			nanosleep(&moment, NULL);
}

static int make_network(struct lab *lab, struct err *e)
{
	int r;

	if (lab->options->loopback) {
		lab->run->loopback = true;
		r = net_make_loopback(&lab->net, e);
	} else {
		lab->own_proc = isolate_own_proc();
		r = isolate_explain(net_make(&lab->net, lab->options->ipv6, e), e);
	}
	for (int side = 0; side < 2; side++)
		lab->run->host[side] = lab->net.addr[side][lab->options->ipv6];
	return r;
}

static int start_room(struct lab *lab, struct err *e)
{
	char addr[2][TCP_ADDR_TEXT];
	struct room_facts facts = {
		.client = tcp_addr_host_text(&lab->run->host[TL_CLIENT], addr[0]),
		.server = tcp_addr_host_text(&lab->run->host[TL_SERVER], addr[1]),
		.port = lab->net.loopback ? 0 : 13,
		.loopback = lab->net.loopback,
		.ipv6 = lab->options->ipv6,
	};
	pid_t pid = room_start(lab->script->file, lab->script->text, lab->script->len, &facts,
			       &lab->room, e);

	lab->room_pid = pid;
	return pid < 0 ? pid : 0;
}

static int open_signals(struct err *e)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? err_errno(e, -errno, "opening a signalfd") : fd;
}

/* On loopback no namespace ends the actors: the run does, by their ids. */
static void end_actors(struct lab *lab)
{
	for (int i = 0; i < lab->nactors; i++) {
		if (lab->actors[i].pid > 0 && !lab->actors[i].exited && lab->net.loopback)
			kill(lab->actors[i].pid, SIGKILL);
		actor_free(&lab->actors[i]);
	}
}

/* Each scenario has its own chances, with the same seed too (FNV-1a of its name). */
static uint64_t seed_of(const struct lab *lab)
{
	uint64_t h = 0xcbf29ce484222325ULL ^ lab->options->seed;

	for (const char *p = lab->script->name; *p; p++)
		h = (h ^ (uint8_t)*p) * 0x100000001b3ULL;
	return h;
}

/* The connection that the scenario is about: that of its main observation. */
static uint16_t main_conn(const struct tl_run *run)
{
	return run->nobservations ? run->observations[run->main_observation].conn : 0;
}

/* The script: from its room's start to the record's end. */
static void play(struct lab *lab)
{
	const struct trace_hooks hooks = { lab, on_listens, on_executed, NULL };
	struct err e = { 0 };
	_fd_ int signals = open_signals(&e);

	trace_start(&lab->trace, &lab->rec, &hooks);
	lab->trace.proc = lab->own_proc || lab->net.loopback;
	wire_start(&lab->wire, &lab->net, &lab->rec, seed_of(lab), lab->options->loss);
	lab->failures = mmap(NULL, sizeof(int) * ACTOR_MAX, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (signals < 0 || lab->failures == MAP_FAILED || start_room(lab, &e) < 0) {
		record_finish(&lab->rec, TL_BROKEN, e.text[0] ? e.text : "no memory for the run");
		return;
	}
	loop(lab, signals);
	settle(lab);
	if (lab->run->nconns > 0)
		lab_observe(lab, main_conn(lab->run), "", false);
	if (lab->run->status == TL_RUNNING && !lab->run->title[0])
		record_finish(&lab->rec, TL_SCRIPT, "the script says no scenario { title = ... }");
	if (lab->run->status == TL_RUNNING && lab->run->nexpects == 0)
		record_finish(&lab->rec, TL_SCRIPT,
			      "the script expects nothing: it can show nothing");
	if (lab->trace.tasks_lost) {
		snprintf(e.text, sizeof(e.text),
			 "more than %d processes and threads at once: %u were not watched",
			 TRACE_MAX_TASKS, lab->trace.tasks_lost);
		record_finish(&lab->rec, TL_BROKEN, e.text);
	}
	if (wire_overflowed(&lab->wire)) {
		snprintf(
			e.text, sizeof(e.text),
			"more frames waited for the wire than it has room for: %u were lost unseen",
			wire_overflowed(&lab->wire));
		record_finish(&lab->rec, TL_BROKEN, e.text);
	}
	if (!lab->net.loopback && !tl_run_is_legal(lab->run, &e))
		record_finish(&lab->rec, TL_FAILED, e.text);
	record_finish(&lab->rec, TL_PASSED, "");
	end_actors(lab);
	trace_free(&lab->trace);
}

/* The run's process. */
static _Noreturn void run_child(const struct lab_script *script, const struct lab_options *options,
				struct tl_run *run)
{
	struct lab *lab = calloc(1, sizeof(*lab));
	int64_t began = clock_mono_ns();
	struct err e = { 0 };
	int r;

	if (!lab)
		_exit(1);
	prctl(PR_SET_NAME, "unclosed-lab");
	lab->script = script;
	lab->options = options;
	lab->run = run;
	lab->room = -1;
	lab->posted = -1;
	madvise(run, sizeof(*run), MADV_DONTFORK); /* the room and the actors do not have it */
	r = make_network(lab, &e);
	run->setup_us = (clock_mono_ns() - began) / 1000;
	record_start(&lab->rec, run, &lab->net);
	if (r < 0)
		record_finish(&lab->rec, TL_CANNOT, e.text);
	else
		play(lab);
	net_free(&lab->net);
	free(lab);
	_exit(0);
}

pid_t lab_start(const struct lab_script *script, const struct lab_options *options,
		struct tl_run *run, struct err *e)
{
	pid_t pid;

	snprintf(run->name, sizeof(run->name), "%s", script->name);
	madvise(run, sizeof(*run), MADV_DOFORK);
	pid = options->loopback ? isolate_fork_plain(e) : isolate_fork(e);
	if (pid == 0)
		run_child(script, options, run);
	madvise(run, sizeof(*run), MADV_DONTFORK);
	if (pid < 0) {
		run->status = TL_CANNOT;
		snprintf(run->error, sizeof(run->error), "%s", e->text);
	}
	return pid;
}

void lab_ended(struct tl_run *run, int status)
{
	if (run->status != TL_RUNNING)
		return;
	run->status = TL_BROKEN;
	if (WIFSIGNALED(status))
		snprintf(run->error, sizeof(run->error), "the run was killed by SIG%s",
			 sigabbrev_np(WTERMSIG(status)) ?: "?");
	else
		snprintf(run->error, sizeof(run->error), "the run ended early with status %d",
			 WEXITSTATUS(status));
}
