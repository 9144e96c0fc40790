/* SPDX-License-Identifier: MIT */
#include "daytime/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "daytime/notify.h"

static void watched(sigset_t *set)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD };

	sigemptyset(set);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaddset(set, numbers[i]);
}

int workers_open(struct workers *w, unsigned count, struct log *log, int notify, struct err *e)
{
	sigset_t set;

	*w = (struct workers){ .count = count, .log = log, .notify = notify };
	w->counters = mmap(NULL, count * sizeof(*w->counters), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (w->counters == MAP_FAILED)
		return err_errno(e, -errno, "no memory for the counters");
	watched(&set);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return err_errno(e, -errno, "sigprocmask");
	return 0;
}

static void end_all(struct workers *w, int number)
{
	for (unsigned i = 0; i < w->count; i++)
		if (w->pid[i] > 0)
			kill(w->pid[i], number);
}

/* Tells all to stop, and the service manager that they do. */
static void stop_all(struct workers *w)
{
	if (!w->stopping)
		notify_send(w->notify, "STOPPING=1");
	w->stopping = true;
	end_all(w, SIGTERM);
}

/* Starts one. In the child it ends with the job; it does not outlive its parent. */
static int start_one(struct workers *w, unsigned i, int ready, workers_job *job, void *arg)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		return -errno;
	if (pid > 0) {
		w->pid[i] = pid;
		w->running++;
		return 0;
	}
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)
		_exit(3);
	exit(job(i, ready, arg));
}

int workers_start(struct workers *w, workers_job *job, void *arg, struct err *e)
{
	for (unsigned i = 0; i < w->count; i++) {
		_fd_ int ready = -1, tell = -1;
		int ends[2], r;
		char byte;

		if (pipe2(ends, O_CLOEXEC) < 0) {
			end_all(w, SIGKILL);
			return err_errno(e, -errno, "pipe");
		}
		ready = ends[0];
		tell = ends[1];
		r = start_one(w, i, tell, job, arg);
		if (r < 0) {
			end_all(w, SIGKILL);
			return err_errno(e, r, "cannot start worker %u", i + 1);
		}
		fd_closep(&tell);
		/* It writes a byte when it is ready; an end of file without one is its end. */
		if (fd_read_all(ready, &byte, 1) != 1) {
			end_all(w, SIGKILL);
			return err_set(e, -ECHILD, "worker %u did not start", i + 1);
		}
	}
	return 0;
}

struct counters workers_sum(const struct workers *w)
{
	struct counters sum = { 0 };

	for (unsigned i = 0; i < w->count; i++)
		counters_add(&sum, &w->counters[i]);
	return sum;
}

static void one_ended(struct workers *w, pid_t pid, int status)
{
	for (unsigned i = 0; i < w->count; i++) {
		if (w->pid[i] != pid)
			continue;
		w->pid[i] = 0;
		w->running--;
		if (w->stopping && WIFEXITED(status) && WEXITSTATUS(status) == 0)
			return;
		w->failed = true;
		if (WIFSIGNALED(status))
			log_line(w->log, "worker %u was ended by signal %d; stopping", i + 1,
				 WTERMSIG(status));
		else
			log_line(w->log, "worker %u ended with code %d; stopping", i + 1,
				 WEXITSTATUS(status));
		stop_all(w);
	}
}

static void reap(struct workers *w)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		one_ended(w, pid, status);
}

int workers_watch(struct workers *w, struct err *e)
{
	char json[COUNTERS_JSON_MAX];
	struct counters sum;
	sigset_t set;

	watched(&set);
	while (w->running > 0) {
		int number = sigwaitinfo(&set, NULL);

		switch (number) {
		case SIGCHLD:
			reap(w);
			break;
		case SIGUSR1:
			end_all(w, number);
			break;
		case SIGUSR2:
			sum = workers_sum(w);
			sum.log_lines_lost += log_lost(w->log);
			log_line(w->log, "%s", counters_json(&sum, json));
			break;
		case SIGTERM:
		case SIGINT:
		case SIGHUP:
			stop_all(w);
			break;
		default: /* interrupted */
			break;
		}
	}
	return w->failed ? err_set(e, -ECHILD, "a worker ended by itself") : 0;
}
