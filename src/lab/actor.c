/* SPDX-License-Identifier: MIT */
#include "lab/actor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "lab/isolate.h"
#include "lab/puppet.h"
#include "lab/trace.h"

/* Exit status of a child whose command could not be executed. */
#define START_FAILED 127

static void actor_init(struct actor *a, enum actor_kind kind, enum tl_side side, const char *name)
{
	*a = (struct actor){ .kind = kind, .side = side, .output = { -1, -1 }, .command = -1 };
	snprintf(a->name, sizeof(a->name), "%s", name);
}

/* What every actor begins with: its host, default signals, its standard descriptors. All other
 * descriptors close when it executes. Returns 0 or -errno. */
static int child_setup(const struct lab_net *net, enum tl_side side, const int output[2])
{
	struct rlimit none = { 0, 0 };
	_fd_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	sigset_t empty;

	if (null < 0 || dup2(null, 0) < 0 || dup2(output[0], 1) < 0 || dup2(output[1], 2) < 0)
		return -errno;
	sigemptyset(&empty);
	sigprocmask(SIG_SETMASK, &empty, NULL);
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	setrlimit(RLIMIT_CORE, &none);
	setsid();
	return net_enter(net, side);
}

#ifdef __SANITIZE_ADDRESS__
/* LeakSanitizer needs ptrace for itself and gives up under another's. */
static void quiet_sanitizer(void)
{
	setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
}
#else
static void quiet_sanitizer(void)
{
}
#endif

/* As root, a program could with these mount the file system writable again, or reach it through the
 * run's own process. Returns 0 or -errno. */
static int drop_capabilities(void)
{
	static const int dropped[] = { CAP_SYS_ADMIN, CAP_SYS_PTRACE };

	for (size_t i = 0; i < sizeof(dropped) / sizeof(dropped[0]); i++)
		if (prctl(PR_CAPBSET_DROP, dropped[i], 0, 0, 0) < 0)
			return -errno;
	return 0;
}

static _Noreturn void program_child(const struct lab_net *net, enum tl_side side,
				    const struct actor_program *p, int sync, const int output[2])
{
	int r = p->read_only ? isolate_read_only() : 0;

	quiet_sanitizer();
	if (r == 0)
		r = child_setup(net, side, output);
	if (r == 0 && p->read_only)
		r = drop_capabilities();
	/* What the lab itself was started with is not the program's either. */
	if (r == 0 && close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		r = -errno;
	if (r == 0)
		r = trace_prepare_child(sync);
	if (r == 0) {
		execv(p->path, p->argv);
		r = -errno;
	}
	*p->failure = r;
	_exit(START_FAILED);
}

static _Noreturn void puppet_child(const struct lab_net *net, enum tl_side side, const char *name,
				   int command, int sync, const int output[2], int *failure)
{
	int r = child_setup(net, side, output);

	prctl(PR_SET_NAME, name);
	if (r == 0)
		r = trace_prepare_child(sync);
	if (r == 0 &&
	    ((command != PUPPET_COMMAND_FD && dup3(command, PUPPET_COMMAND_FD, O_CLOEXEC) < 0) ||
	     close_range(PUPPET_COMMAND_FD + 1, ~0u, 0) < 0))
		r = -errno;
	*failure = r;
	if (r < 0)
		_exit(START_FAILED);
	puppet_main(PUPPET_COMMAND_FD);
}

/* Descriptors of a start: [0] stays with the run, [1] goes to the child. */
struct start {
	int sync[2]; /* the other way round: the child reads */
	int out[2], errors[2];
};

static void start_close(struct start *s)
{
	for (int i = 0; i < 2; i++) {
		s->sync[i] = fd_close(s->sync[i]);
		s->out[i] = fd_close(s->out[i]);
		s->errors[i] = fd_close(s->errors[i]);
	}
}

static int start_open(struct start *s, const char *name, struct err *e)
{
	*s = (struct start){ { -1, -1 }, { -1, -1 }, { -1, -1 } };
	if (pipe2(s->sync, O_CLOEXEC) == 0 && pipe2(s->out, O_CLOEXEC) == 0 &&
	    pipe2(s->errors, O_CLOEXEC) == 0)
		return 0;
	err_errno(e, -errno, "making pipes for %s", name);
	start_close(s);
	return -errno;
}

const char *actor_failure(const struct actor *a)
{
	return a->failure && *a->failure < 0 ? strerror(-*a->failure) : NULL;
}

/* The trace was refused: says what became of the child. Returns r. */
static int explain_start(const struct actor *a, int r, struct err *e)
{
	const char *why = actor_failure(a);
	siginfo_t end = { 0 };

	if (waitid(P_PID, (id_t)a->pid, &end, WEXITED | WNOHANG | WNOWAIT) < 0)
		return r;
	if (end.si_pid == 0) /* it lives */
		return r != -EPERM
			       ? r
			       : err_set(e, r,
					 "%s cannot be watched: somebody else traces it already "
					 "(is the lab run under strace -f, or a debugger?)",
					 a->name);
	if (end.si_code == CLD_EXITED)
		return err_set(e, r, "%s ended with status %d before it could be watched%s%s",
			       a->name, end.si_status, why ? ": " : "", why ? why : "");
	return err_set(e, r, "%s was killed by SIG%s before it could be watched", a->name,
		       sigabbrev_np(end.si_status) ?: "?");
}

/* The parent's part after fork: keeps its ends, and attaches the trace, which lets the child go. */
static int start_finish(struct actor *a, struct start *s, struct trace *trace, int index,
			struct err *e)
{
	int r;

	a->output[0] = fd_take(&s->out[0]);
	a->output[1] = fd_take(&s->errors[0]);
	fcntl(a->output[0], F_SETFL, O_NONBLOCK);
	fcntl(a->output[1], F_SETFL, O_NONBLOCK);
	r = trace_attach(trace, a->pid, fd_take(&s->sync[1]), index, a->side, a->name, e);
	start_close(s);
	return r < 0 ? explain_start(a, r, e) : 0;
}

int actor_start_program(struct actor *a, const struct lab_net *net, struct trace *trace, int index,
			enum tl_side side, const struct actor_program *program, struct err *e)
{
	const char *slash = strrchr(program->argv[0], '/');
	const char *name = slash ? slash + 1 : program->argv[0];
	struct start s;
	int r;

	actor_init(a, ACTOR_PROGRAM, side, name);
	r = start_open(&s, name, e);
	if (r < 0)
		return r;
	*program->failure = 0;
	a->failure = program->failure;
	a->pid = fork();
	if (a->pid < 0) {
		r = err_errno(e, -errno, "starting %s", name);
		start_close(&s);
		return r;
	}
	if (a->pid == 0)
		program_child(net, side, program, s.sync[0], (int[]){ s.out[1], s.errors[1] });
	return start_finish(a, &s, trace, index, e);
}

int actor_start_puppet(struct actor *a, const struct lab_net *net, struct trace *trace, int index,
		       enum tl_side side, const char *name, int *failure, struct err *e)
{
	int pair[2], r;
	struct start s;

	actor_init(a, ACTOR_PUPPET, side, name);
	a->failure = failure;
	*failure = 0;
	r = start_open(&s, name, e);
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		start_close(&s);
		return err_errno(e, -errno, "making a command socket for %s", name);
	}
	a->pid = fork();
	if (a->pid == 0)
		puppet_child(net, side, a->name, pair[1], s.sync[0],
			     (int[]){ s.out[1], s.errors[1] }, failure);
	r = a->pid < 0 ? err_errno(e, -errno, "starting %s", name) : 0;
	close(pair[1]);
	a->command = pair[0];
	if (r < 0) {
		start_close(&s);
		return r;
	}
	a->executed = true;
	return start_finish(a, &s, trace, index, e);
}

void actor_adopt(struct actor *a, const struct actor *parent, pid_t pid, int command,
		 const char *name)
{
	actor_init(a, ACTOR_PUPPET, parent->side, name);
	a->pid = pid;
	a->command = command;
	a->executed = true;
}

static bool read_stream(struct actor *a, int i)
{
	size_t room;
	ssize_t n;

	if (!a->text[i])
		a->text[i] = calloc(1, ACTOR_OUTPUT_BYTES + 1);
	if (!a->text[i])
		return false;
	room = ACTOR_OUTPUT_BYTES - a->len[i];
	if (room ==
	    0) { /* further output is counted, and read so that the program is not blocked */
		char drain[4096];

		n = read(a->output[i], drain, sizeof(drain));
		a->lost[i] += n > 0 ? (size_t)n : 0;
	} else {
		n = read(a->output[i], a->text[i] + a->len[i], room);
		a->len[i] += n > 0 ? (size_t)n : 0;
	}
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		a->output[i] = fd_close(a->output[i]);
	return n > 0;
}

bool actor_read_output(struct actor *a)
{
	bool any = false;

	/* Once each: one that writes without end must not keep the caller here. */
	for (int i = 0; i < 2; i++)
		any |= a->output[i] >= 0 && read_stream(a, i);
	return any;
}

const char *actor_last_words(const struct actor *a, char *buf, size_t cap)
{
	const char *text = a->text[1] ? a->text[1] : "", *start;
	size_t len = strlen(text);

	while (len > 0 && text[len - 1] == '\n')
		len--;
	start = text + len;
	while (start > text && start[-1] != '\n')
		start--;
	snprintf(buf, cap, "%.*s", (int)(text + len - start), start);
	return buf;
}

void actor_free(struct actor *a)
{
	a->command = fd_close(a->command);
	for (int i = 0; i < 2; i++) {
		a->output[i] = fd_close(a->output[i]);
		free(a->text[i]);
		a->text[i] = NULL;
	}
}
