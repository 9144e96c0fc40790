/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "cmd/opts.h"
#include "cmd/term.h"
#include "cmd/watch.h"
#include "cmd/watch_screen.h"
#include "doctor/lag.h"
#include "report/watch.h"

/* How long a program may take to end when it is asked to. */
#define END_MS      2000
#define END_STEP_MS 10
/* How long what the processes that were named leave behind may take to be over, once all have
 * ended: their FINs are acknowledged by somebody far away. */
#define OVER_NS CLOCK_NS_PER_S
/* How often the screen, or what is left of those that were named, is looked at. */
#define LOOK_NS (50 * CLOCK_NS_PER_MS)
/* How long who reads the output may take to read on, after a signal to stop. */
#define GRACE_MS 1000
/* Bytes from which memory is not taken from the heap. */
#define BIG (256 * 1024)

struct run {
	struct watch_job *job;
	struct doctor *doctor;
	struct watch_child child;
	int64_t named_ended; /* when that was seen, CLOCK_MONOTONIC; 0: not so */
	struct report_style style;
	struct watch_shown shown;
	int64_t began;         /* CLOCK_REALTIME */
	struct screen *screen; /* NULL: lines */
	int64_t next_losses;   /* when the screen is told of them */
	int64_t next_lags;     /* the same of close lags; 0: at once */
	FILE *out;
	int signals;
	uint64_t faults;
	bool stop, child_ended;
	int broken; /* why the output takes no more: an errno; 0: it does */
	int child_status;
	unsigned interrupts;
};

/* A Ctrl-C reaches the program too, and one that was sent to this process alone is handed on: the
 * program's end is waited for. One that goes on all the same is ended by the second. */
static bool on_interrupt(struct run *run, const struct signalfd_siginfo *info)
{
	if (!run->job->command || run->interrupts++)
		return true;
	if (info->ssi_code == SI_USER)
		kill(run->child.pid, SIGINT);
	return false;
}

/* Takes note of the signals that have come. */
static void read_signals(struct run *run)
{
	struct signalfd_siginfo info;

	while (read(run->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGINT)
			run->stop |= on_interrupt(run, &info);
		else if (info.ssi_signo != SIGCHLD)
			run->stop = true;
		else if (run->job->command &&
			 waitpid(run->child.pid, &run->child_status, WNOHANG) == run->child.pid)
			run->child_ended = true;
	}
}

/* Whether a signal or the end of the program asks to stop. */
static bool told_to_stop(struct run *run)
{
	read_signals(run);
	return run->stop || run->child_ended || run->broken;
}

/* Waits until the output takes more. A signal that asks to stop is heard meanwhile; who reads then
 * has GRACE_MS left to take it. Returns 0 or -errno. */
static int await_room(struct run *run)
{
	struct pollfd p[2] = { { .fd = fileno(run->out), .events = POLLOUT },
			       { .fd = run->signals, .events = POLLIN } };

	for (;;) {
		int n = poll(p, run->stop ? 1 : 2, run->stop ? GRACE_MS : -1);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -ETIMEDOUT;
		if (n > 0 && p[0].revents)
			return 0;
		if (n > 0)
			read_signals(run);
	}
}

/* A pipe that has room takes PIPE_BUF bytes without blocking. */
static void put(struct run *run, struct buf *b)
{
	if (b->failed)
		run->broken = ENOMEM;
	for (size_t at = 0; at < b->len && !run->broken;) {
		size_t len = b->len - at < PIPE_BUF ? b->len - at : PIPE_BUF;
		int r = await_room(run);
		ssize_t n = r ? 0 : write(fileno(run->out), b->data + at, len);

		if (n > 0)
			at += (size_t)n;
		else if (r || (n < 0 && errno != EAGAIN && errno != EINTR))
			run->broken = r ? -r : errno;
	}
	buf_free(b);
}

static int64_t wall_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * CLOCK_NS_PER_S + ts.tv_nsec;
}

static void put_line(const struct tw_line *line, void *arg)
{
	struct run *run = arg;
	struct buf b = { 0 };

	if (line->what == TW_HALF_CLOSED || line->what == TW_STILL)
		run->faults += tw_is_fault(line->cause);
	if (run->screen) {
		screen_line(run->screen, line);
		return;
	}
	if (run->job->json)
		watch_json(&b, line);
	else
		watch_text(&b, line, &run->shown, &run->style);
	put(run, &b);
}

/* Adds the close lags so far. */
static int add_lags(struct run *run, bool draw, const struct report_style *style, struct buf *b,
		    struct err *e)
{
	struct lag_table t = { 0 };
	int64_t now = wall_ns();
	int r = lag_table_read(doctor_watch(run->doctor), &t, e);

	if (r)
		return r;
	if (run->job->json)
		for (size_t i = 0; i < t.row_count; i++)
			watch_json_lag(b, now, run->began, &t.rows[i]);
	else
		watch_text_lags(b, now, t.rows, t.row_count, draw, style);
	lag_table_free(&t);
	return 0;
}

/* For lack of memory a table may be left out that comes again later. */
static int or_later(int r)
{
	return r == -ENOMEM || r == -EAGAIN ? 0 : r;
}

static int put_lags(struct run *run, bool draw, struct err *e)
{
	struct buf b = { 0 };
	int r = add_lags(run, draw, &run->style, &b, e);

	put(run, &b);
	return r;
}

static void put_summary(struct run *run, bool cut_short)
{
	struct tw_summary s = doctor_summary(run->doctor);
	struct buf b = { 0 };

	s.cut_short = cut_short;
	if (run->job->json)
		watch_json_summary(&b, wall_ns(), &s);
	else
		watch_text_summary(&b, &s);
	put(run, &b);
}

/* How the command ended, and what of it goes on unwatched. */
static int put_command(struct run *run, struct err *e)
{
	bool killed = WIFSIGNALED(run->child_status);
	struct buf b = { 0 };
	unsigned left;
	int r = watch_pids_left(doctor_watch(run->doctor), &left, e);

	if (r)
		return r;
	if (run->job->json)
		watch_json_command(&b, wall_ns(), killed,
				   killed ? WTERMSIG(run->child_status)
					  : WEXITSTATUS(run->child_status),
				   left);
	else
		watch_text_command(&b, left);
	put(run, &b);
	return 0;
}

static void put_named(struct run *run)
{
	struct buf b = { 0 };

	if (run->job->json)
		watch_json_ended(&b, wall_ns());
	else
		watch_text_ended(&b, run->job->named.count);
	put(run, &b);
}

static void put_start(struct run *run)
{
	const struct watch *w = doctor_watch(run->doctor);
	const char *reads = watch_reads_name(watch_reads(w));
	const char *accepts = watch_accepts_traced(w) ? "fexit" : "syscalls";
	uint64_t after = run->job->setup.watch.rules.after;
	struct buf b = { 0 };

	if (run->job->json)
		watch_json_start(&b, wall_ns(), after, reads,
				 run->job->setup.watch.rules.stacks ? accepts : NULL);
	else
		watch_text_start(&b, after, reads);
	put(run, &b);
}

/* One that whoever started the watch has it ignore, as nohup and a shell's `&` do, stays ignored;
 * once blocked it would come. */
static void add_unless_ignored(sigset_t *set, int number)
{
	struct sigaction now;

	if (sigaction(number, NULL, &now) || now.sa_handler != SIG_IGN)
		sigaddset(set, number);
}

/* Where SIGCHLD is ignored, the command's status would be lost. */
static int block_signals(struct run *run, struct err *e)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	add_unless_ignored(&set, SIGINT);
	add_unless_ignored(&set, SIGTERM);
	add_unless_ignored(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, &run->child.mask);
	run->child.on_pipe = signal(SIGPIPE, SIG_IGN);
	run->child.on_child = signal(SIGCHLD, SIG_DFL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? err_errno(e, -errno, "making a signalfd") : fd;
}

static bool nobody_left(struct run *run, int64_t now)
{
	if (!watch_named_ended(&run->job->named))
		return false;
	if (!run->named_ended)
		run->named_ended = now;
	return now - run->named_ended >= OVER_NS || !doctor_summary(run->doctor).open;
}

/* What the screen shows of close lags, where it does; as often as --interval says. */
static int turn_lags(struct run *run, int64_t now, struct err *e)
{
	struct buf b = { 0 };
	int r;

	if (!screen_shows_lags(run->screen)) {
		run->next_lags = 0;
		return 0;
	}
	if (now < run->next_lags)
		return 0;
	buf_str(&b, "");
	r = add_lags(run, true, screen_style(run->screen), &b, e);
	if (!r && b.failed)
		r = err_set(e, -ENOMEM, "no memory for the close lags");
	if (r)
		buf_free(&b);
	else
		screen_lags(run->screen, b.data);
	run->next_lags = clock_later(now, run->job->interval ? run->job->interval : CLOCK_NS_PER_S);
	return r;
}

/* A terminal that was stopped (^S) takes nothing, and who writes there hears no signal. */
static bool takes(int fd, int wait_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, wait_ms) != 0;
}

/* Of a screen's turn. Losses are asked for as often as the screen counts seconds: asking takes some
 * system calls. Returns whether to leave. */
static bool turn_screen(struct run *run, int64_t now)
{
	struct tw_summary s;

	if (!run->screen || !takes(STDOUT_FILENO, 0))
		return false;
	if (now >= run->next_losses) {
		s = doctor_summary(run->doctor);
		screen_lost(run->screen, tw_losses_sum(&s.losses));
		run->next_losses = now + CLOCK_NS_PER_S;
	}
	return screen_turn(run->screen);
}

/* The lesser of the two, in milliseconds, rounded up. */
static int wait_at_most(int ms, int64_t ns)
{
	if (ns < 0)
		return 0;
	return ns / CLOCK_NS_PER_MS < ms ? (int)(ns / CLOCK_NS_PER_MS) + 1 : ms;
}

/* Whoever read the output may be gone before there is more to write, and the terminal without a
 * signal. */
static void note_hangups(struct run *run, short output, short keys)
{
	if (output & (POLLERR | POLLHUP) && !run->broken)
		run->broken = output & POLLHUP ? EIO : EPIPE;
	if (keys & (POLLERR | POLLHUP))
		run->stop = true;
}

/* The first of those after `last` that is still to come: those that were missed are left out. None
 * does without an interval. */
static int64_t next_turn(int64_t last, int64_t interval, int64_t now)
{
	if (!interval)
		return INT64_MAX;
	return clock_later(last, (now - last) / interval * interval + interval);
}

static int loop(struct run *run, struct err *e)
{
	int64_t now = clock_mono_ns(), interval = run->job->interval;
	int64_t end = run->job->duration ? clock_later(now, run->job->duration) : INT64_MAX;
	int64_t next = run->screen ? INT64_MAX : next_turn(now, interval, now);

	for (;;) {
		struct pollfd p[5] = {
			{ .fd = run->signals, .events = POLLIN },
			{ .fd = doctor_fd(run->doctor), .events = POLLIN },
			{ .fd = run->screen ? STDIN_FILENO : -1, .events = POLLIN },
			{ .fd = watch_named_fd(&run->job->named), .events = POLLIN },
			{ .fd = run->job->command ? -1 : fileno(run->out) },
		};
		int wait_ms, r = doctor_turn(run->doctor, &wait_ms, e);

		now = clock_mono_ns();
		if (!r && now >= next) {
			r = or_later(put_lags(run, false, e));
			next = next_turn(next, interval, now);
		}
		if (!r && run->screen)
			r = or_later(turn_lags(run, now, e));
		if (r || now >= end || told_to_stop(run) || nobody_left(run, now))
			return r;
		if (turn_screen(run, now))
			return 0;
		wait_ms = wait_at_most(wait_ms, (next < end ? next : end) - now);
		if (run->screen || run->named_ended)
			wait_ms = wait_at_most(wait_ms, LOOK_NS);
		if (poll(p, 5, wait_ms) >= 0)
			note_hangups(run, p[4].revents, p[2].revents);
		else if (errno != EINTR)
			return err_errno(e, -errno, "waiting for events");
	}
}

static int open_output(struct run *run, struct err *e)
{
	run->out = run->job->command ? stderr : stdout;
	if (run->job->output)
		run->out = fopen(run->job->output, "we");
	if (!run->out)
		return err_errno(e, -errno, "opening %s", run->job->output);
	run->style = term_style(fileno(run->out), TERM_AUTO, false);
	return 0;
}

static bool wants_screen(const struct run *run)
{
	const struct watch_job *job = run->job;

	return !job->plain && !job->json && !job->command && !job->output &&
	       isatty(STDOUT_FILENO) && isatty(STDIN_FILENO) && !term_is_dumb();
}

/* Of processes that were named it is known from the start where they make sockets. */
static struct screen *open_screen(const struct watch_rules *rules, struct err *e)
{
	struct watch_taking taking = { .stacks = rules->stacks,
				       .made = rules->made || rules->by_owner };

	return screen_open(rules->after, &taking, e);
}

/* Loading leaves megabytes behind. What is big is had from the kernel and goes back to it, and the
 * second thread has no heap of its own. */
static void tidy_memory(void)
{
	mallopt(M_MMAP_THRESHOLD, BIG);
	mallopt(M_ARENA_MAX, 1);
	malloc_trim(0);
}

/* Loads the watch; a command is made before, so that it is watched from its first call on. */
static int open_doctor(struct run *run, struct err *e)
{
	struct watch_job *job = run->job;
	int r;

	if (job->command) {
		r = watch_child_make(&run->child, job->command, e);
		if (r)
			return r;
		job->pids[job->pid_count++] = run->child.pid;
	}
	run->began = wall_ns();
	job->setup.pids = job->pids;
	job->setup.pid_count = job->pid_count;
	return doctor_open(&run->doctor, &job->setup, put_line, run, e);
}

/* Screen or lines; and lets the command run. */
static int begin(struct run *run, struct err *e)
{
	struct watch_job *job = run->job;

	watch_named_note(job);
	tidy_memory();
	if (wants_screen(run)) {
		run->screen = open_screen(&job->setup.watch.rules, e);
		if (!run->screen)
			return -ENOTTY;
	} else {
		put_start(run);
	}
	if (job->command && !told_to_stop(run))
		return watch_child_start(&run->child, job->command, e);
	return 0;
}

/* Says what is left to be said, also after an error (`r`), as far as it can be had. Returns the
 * first error, whose text is in `e`. */
static int put_ending(struct run *run, int r, struct err *e)
{
	int next;

	if (!r && run->child_ended)
		r = put_command(run, e);
	if (!r && run->named_ended)
		put_named(run);
	next = doctor_finish(run->doctor, r ? NULL : e);
	r = r ? r : next;
	next = put_lags(run, run->job->draw, r ? NULL : e);
	r = r ? r : next;
	put_summary(run, r);
	return r;
}

static int watch_all(struct run *run, struct err *e)
{
	int r = open_doctor(run, e);

	if (!r)
		r = begin(run, e);
	if (r)
		return r;
	r = loop(run, e);
	if (run->screen)
		term_go_on(STDOUT_FILENO);
	screen_close(run->screen);
	run->screen = NULL;
	return put_ending(run, r, e);
}

/* A program that outlives the watch's time is ended with it: asked first, then killed. */
static void end_child(struct run *run)
{
	fd_close(run->child.go);
	fd_close(run->child.failed);
	if (run->child.pid <= 0 || run->child_ended)
		return;
	kill(run->child.pid, SIGTERM);
	for (int waited = 0; waited < END_MS; waited += END_STEP_MS) {
		if (waitpid(run->child.pid, NULL, WNOHANG) == run->child.pid)
			return;
		poll(NULL, 0, END_STEP_MS);
	}
	kill(run->child.pid, SIGKILL);
	waitpid(run->child.pid, NULL, 0);
}

/* Where there is nothing to say of its connections, the program's own status, as a shell gives it.
 */
static int verdict(const struct run *run)
{
	struct tw_summary s = doctor_summary(run->doctor);

	if (!run->job->command)
		return EXIT_FINE;
	if (run->faults)
		return EXIT_FINDINGS;
	if (tw_losses_sum(&s.losses))
		return EXIT_CANNOT;
	if (!run->child_ended)
		return EXIT_FINE;
	return WIFSIGNALED(run->child_status) ? 128 + WTERMSIG(run->child_status)
					      : WEXITSTATUS(run->child_status);
}

static void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* In one piece; not where nobody takes it. */
static void complain(const char *fmt, ...)
{
	char text[PATH_MAX + 256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (takes(STDERR_FILENO, GRACE_MS))
		fprintf(stderr, "unclosed watch: %s\n", text);
}

int watch_run(struct watch_job *job)
{
	struct run run = { .job = job, .signals = -1, .child = { .go = -1, .failed = -1 } };
	struct err e = { 0 };
	int r, code = EXIT_CANNOT;

	r = open_output(&run, &e); /* a FIFO is waited for: interrupts end that */
	if (!r)
		run.signals = r = block_signals(&run, &e);
	if (r >= 0)
		r = watch_all(&run, &e);
	end_child(&run);
	if (r)
		complain("%s", e.text);
	else
		code = verdict(&run);
	if (run.broken && !r) {
		complain("writing %s: %s", job->output ? job->output : "the output",
			 run.broken == ETIMEDOUT ? "nobody reads it" : strerror(run.broken));
		code = EXIT_CANNOT;
	}
	doctor_close(run.doctor);
	fd_close(run.signals);
	if (job->output && run.out && fclose(run.out) && !r) {
		complain("writing %s: %s", job->output, strerror(errno));
		code = EXIT_CANNOT;
	}
	return code;
}
