/* SPDX-License-Identifier: MIT */
#include "cmd/lab_jobs.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "version.h"

#define EXPERIMENTS "experiments"

/* As wide as "1000 of 1000 scenarios". */
#define PROGRESS_BLANK "                      "

/* A scenario waits more than it works: for the kernel's timers. */
#define JOBS_PER_CPU 6

/* In the order of the text that they come from. */
static const char *const experiments[] = {
	EXPERIMENTS "/both-close",
	EXPERIMENTS "/client-never-closes",
	EXPERIMENTS "/server-never-closes",
	EXPERIMENTS "/client-waits-before-close",
	EXPERIMENTS "/server-waits-before-close",
};
#define EXPERIMENT_COUNT (sizeof(experiments) / sizeof(experiments[0]))

/* The directory that this program is in. */
static void own_directory(char *buf, size_t cap)
{
	ssize_t n = readlink("/proc/self/exe", buf, cap - 1);
	char *slash;

	buf[n > 0 ? n : 0] = '\0';
	slash = strrchr(buf, '/');
	if (slash)
		*slash = '\0';
}

/* "DIR/REST", where it fits. */
static void join(char buf[PATH_MAX], const char *dir, const char *rest)
{
	if ((size_t)snprintf(buf, PATH_MAX, "%s/%s", dir, rest) >= PATH_MAX)
		buf[0] = '\0';
}

/* Scenarios lie where they were installed with this program, or beside the sources where it is run
 * from its build directory. UNCLOSED_SCENARIOS names another place. */
static void scenario_directory(const char *bindir, char buf[PATH_MAX])
{
	static const char *const places[] = { "../share/unclosed/scenarios", "../../scenarios" };
	const char *env = getenv("UNCLOSED_SCENARIOS");
	char probe[PATH_MAX];

	for (size_t i = 0; !env && i < sizeof(places) / sizeof(places[0]); i++) {
		join(buf, bindir, places[i]);
		join(probe, buf, EXPERIMENTS);
		if (access(probe, R_OK) == 0)
			return;
	}
	snprintf(buf, PATH_MAX, "%s", env ? env : UNCLOSED_SCENARIOS);
}

static int add_jobs(struct jobs *jobs, struct err *e)
{
	jobs->n = jobs->chosen.n;
	jobs->jobs = calloc(jobs->n ? jobs->n : 1, sizeof(*jobs->jobs));
	if (!jobs->jobs)
		return err_set(e, -ENOMEM, "no memory for %zu runs", jobs->n);
	for (size_t i = 0; i < jobs->n; i++) {
		struct job *j = &jobs->jobs[i];
		const char *slash;
		int r;

		j->entry = &jobs->chosen.entries[i];
		r = catalogue_read(j->entry, e);
		if (r < 0)
			return r;
		slash = strrchr(j->entry->path, '/');
		j->script = (struct lab_script){ .name = j->entry->name,
						 .file = slash ? slash + 1 : j->entry->path,
						 .text = j->entry->text,
						 .len = j->entry->len };
		j->run = lab_run_new();
		if (!j->run)
			return err_set(e, -ENOMEM, "no memory for the record of a run");
	}
	return 0;
}

int jobs_choose(struct jobs *jobs, const char *const *words, size_t n, struct err *e)
{
	char bindir[PATH_MAX], dir[PATH_MAX];
	int r;

	if (n == 0) {
		words = experiments;
		n = EXPERIMENT_COUNT;
	}
	own_directory(bindir, sizeof(bindir));
	scenario_directory(bindir, dir);
	r = catalogue_open(&jobs->all, dir, e);
	if (r < 0)
		return r == -ENOENT ? -ENODATA : r;
	for (size_t i = 0; i < n && r == 0; i++)
		r = catalogue_choose(&jobs->all, words[i], &jobs->chosen, e);
	return r < 0 ? r : add_jobs(jobs, e);
}

static int start_job(struct job *j, struct err *e)
{
	pid_t pid = lab_start(&j->script, &j->options, j->run, e);

	j->started = true;
	if (pid > 0)
		j->pid = pid;
	else
		j->ended = true;
	return pid < 0 && j->run->status != TL_CANNOT ? pid : 0;
}

/* Whether a scenario is one of ours that loopback can show: of the theme, or a file that holds the
 * same. A stranger's is not: on loopback the file system would not be read-only to its programs. */
static bool is_experiment(const struct jobs *jobs, const struct job *j)
{
	if (j->entry->theme[0])
		return !strcmp(j->entry->theme, EXPERIMENTS);
	for (size_t i = 0; i < jobs->all.n; i++) {
		struct catalogue_entry one = { .path = jobs->all.entries[i].path };
		struct err unused;
		bool same;

		if (strcmp(jobs->all.entries[i].theme, EXPERIMENTS) != 0)
			continue;
		same = catalogue_read(&one, &unused) == 0 && one.len == j->entry->len &&
		       !memcmp(one.text, j->entry->text, one.len);
		free(one.text);
		if (same)
			return true;
	}
	return false;
}

/* An experiment that is refused its namespaces is run again on loopback; what else needs the wire
 * is not. */
static bool run_again_on_loopback(const struct jobs *jobs, struct job *j)
{
	static bool told;
	struct tl_run *fresh;

	if (j->run->status != TL_CANNOT || j->options.loopback || !is_experiment(jobs, j))
		return false;
	fresh = lab_run_new();
	if (!fresh)
		return false;
	if (!told)
		fprintf(stderr,
			"unclosed lab: no namespaces here: %s.\n"
			"unclosed lab: the experiments run on loopback: states without packets\n",
			j->run->error);
	told = true;
	lab_run_free(j->run);
	j->run = fresh;
	j->options.loopback = true;
	j->started = j->ended = false;
	j->pid = 0;
	return true;
}

/* Takes in every child that has ended. */
static void collect(struct jobs *jobs)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (size_t i = 0; i < jobs->n; i++) {
			struct job *j = &jobs->jobs[i];

			if (j->pid != pid)
				continue;
			j->pid = 0;
			j->ended = true;
			lab_ended(j->run, status);
		}
	}
}

static void end_all(struct jobs *jobs)
{
	for (size_t i = 0; i < jobs->n; i++)
		if (jobs->jobs[i].pid > 0)
			kill(jobs->jobs[i].pid, SIGKILL);
	for (size_t i = 0; i < jobs->n; i++)
		if (jobs->jobs[i].pid > 0)
			waitpid(jobs->jobs[i].pid, NULL, 0);
}

static unsigned running(const struct jobs *jobs)
{
	unsigned n = 0;

	for (size_t i = 0; i < jobs->n; i++)
		n += jobs->jobs[i].pid > 0;
	return n;
}

static int start_some(struct jobs *jobs, unsigned at_once, struct err *e)
{
	for (size_t i = 0; i < jobs->n; i++) {
		int r;

		if (running(jobs) >= at_once)
			break;
		if (jobs->jobs[i].started)
			continue;
		r = start_job(&jobs->jobs[i], e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A line that is overwritten, on a terminal, while many run; not among reports. Where what comes
 * last goes to the same terminal, the line makes room for it. */
static void progress(const struct jobs *jobs, const struct jobs_options *options, size_t shown)
{
	bool shared = isatty(STDOUT_FILENO);
	size_t ended = 0;

	if (jobs->n < 8 || !isatty(STDERR_FILENO) || (shared && !options->mute))
		return;
	for (size_t i = 0; i < jobs->n; i++)
		ended += jobs->jobs[i].ended;
	fprintf(stderr, "\r%zu of %zu scenarios", ended, jobs->n);
	if (shown == jobs->n)
		fputs(shared ? "\r" PROGRESS_BLANK "\r" : "\n", stderr);
}

/* Shows what has its turn. Returns how many have been shown in all, or -errno. */
static ssize_t show_some(struct jobs *jobs, size_t shown, jobs_show_fn *show, void *arg)
{
	while (shown < jobs->n && jobs->jobs[shown].ended) {
		int r = 0;

		if (run_again_on_loopback(jobs, &jobs->jobs[shown]))
			return (ssize_t)shown;
		if (show)
			r = show(jobs->jobs[shown].run, arg);
		if (r < 0)
			return r;
		shown++;
	}
	return (ssize_t)shown;
}

static int run_loop(struct jobs *jobs, const struct jobs_options *options, jobs_show_fn *show,
		    void *arg, const sigset_t *signals, struct err *e)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned at_once = options->at_once ? options->at_once
					    : JOBS_PER_CPU * (unsigned)(cpus > 0 ? cpus : 1);
	ssize_t shown = 0;
	int r, sig;

	while (shown < (ssize_t)jobs->n) {
		r = start_some(jobs, at_once, e);
		if (r < 0)
			return r;
		shown = show_some(jobs, (size_t)shown, show, arg);
		if (shown < 0)
			return err_errno(e, (int)shown, "writing the report");
		progress(jobs, options, (size_t)shown);
		if (shown == (ssize_t)jobs->n || running(jobs) == 0)
			continue;
		sig = sigwaitinfo(signals, NULL);
		if (sig > 0 && sig != SIGCHLD) {
			jobs->interrupted = sig;
			return 0;
		}
		collect(jobs);
	}
	return 0;
}

/* What ends all runs, but for what the caller has us ignore, as nohup(1) does; and SIGCHLD. */
static void fill_signals(sigset_t *set)
{
	static const int ending[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction now;

	sigemptyset(set);
	sigaddset(set, SIGCHLD);
	for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++)
		if (sigaction(ending[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
			sigaddset(set, ending[i]);
}

int jobs_run(struct jobs *jobs, const struct jobs_options *options, jobs_show_fn *show, void *arg,
	     struct err *e)
{
	static char bindir[PATH_MAX];
	int64_t began = clock_mono_ns();
	sigset_t signals, before;
	int r;

	own_directory(bindir, sizeof(bindir));
	for (size_t i = 0; i < jobs->n; i++) {
		jobs->jobs[i].options = options->lab;
		jobs->jobs[i].options.bindir = bindir;
	}
	/* A caller that ignores it hands that down, and no child would be waited for. */
	signal(SIGCHLD, SIG_DFL);
	fill_signals(&signals);
	sigprocmask(SIG_BLOCK, &signals, &before);
	r = run_loop(jobs, options, show, arg, &signals, e);
	end_all(jobs);
	sigprocmask(SIG_SETMASK, &before, NULL);
	jobs->elapsed_us = (clock_mono_ns() - began) / 1000;
	return r;
}

void jobs_free(struct jobs *jobs)
{
	for (size_t i = 0; i < jobs->n && jobs->jobs; i++)
		lab_run_free(jobs->jobs[i].run);
	free(jobs->jobs);
	catalogue_free(&jobs->chosen);
	catalogue_free(&jobs->all);
}
