/* SPDX-License-Identifier: MIT */
/* Looks closely at both ends: what the kernel says, who holds the descriptor, who was told. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "lab/lab.h"

static void add_holder(struct tl_end *end, int pid, int fd)
{
	struct tl_holder *h;
	char path[40];
	ssize_t n;

	if (end->nholders >= TL_MAX_HOLDERS) {
		end->nholders += end->nholders < UINT16_MAX;
		return;
	}
	h = &end->holders[end->nholders++];
	*h = (struct tl_holder){ .pid = pid, .fd = fd };
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	n = fd_read_text(path, h->comm, sizeof(h->comm));
	if (n > 0 && h->comm[n - 1] == '\n')
		h->comm[n - 1] = '\0';
}

/* The descriptors of one process that are the socket with this inode. */
static void scan_process(struct tl_end *end, int pid, const char *wanted)
{
	char path[64], target[64];
	struct dirent *d;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	while (dir && (d = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), d->d_name, target, sizeof(target) - 1);

		if (n <= 0)
			continue;
		target[n] = '\0';
		if (!strcmp(target, wanted))
			add_holder(end, pid, (int)strtol(d->d_name, NULL, 10));
	}
	if (dir)
		closedir(dir);
}

/* Every process of the run's pid namespace; on loopback, the actors. */
static void find_holders(struct lab *lab, struct tl_end *end)
{
	char wanted[40];
	struct dirent *d;
	DIR *dir;

	end->holders_known = lab->own_proc || lab->net.loopback;
	if (!end->holders_known || end->sample.inode == 0)
		return;
	snprintf(wanted, sizeof(wanted), "socket:[%u]", end->sample.inode);
	if (lab->net.loopback) {
		for (int i = 0; i < lab->nactors; i++)
			if (!lab->actors[i].exited && lab->actors[i].pid > 0)
				scan_process(end, lab->actors[i].pid, wanted);
		return;
	}
	dir = opendir("/proc");
	while (dir && (d = readdir(dir)))
		if (d->d_name[0] > '0' && d->d_name[0] <= '9')
			scan_process(end, (int)strtol(d->d_name, NULL, 10), wanted);
	if (dir)
		closedir(dir);
}

/* The state letter of a task (proc(5)), 0 where it is gone. */
static char task_state(pid_t tid)
{
	char path[40], text[128];
	const char *end;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	if (fd_read_text(path, text, sizeof(text)) <= 0)
		return 0;
	end = strrchr(text, ')');
	return end && end[1] ? end[2] : 0;
}

bool lab_is_asleep(const struct lab *lab, int actor)
{
	if (!lab->own_proc)
		return true;
	for (unsigned i = 0; i < lab->trace.ntasks; i++) {
		const struct trace_task *t = &lab->trace.tasks[i];
		char state = actor < 0 || t->actor == actor ? task_state(t->tid) : 0;

		/* One that SIGSTOP has stopped shows the `t` of any stop of the tracer's. */
		if (state && !strchr("SZX", state) && !(state == 't' && trace_is_stopped(t)))
			return false;
	}
	return true;
}

bool lab_is_settled(struct lab *lab)
{
	/* The wire last: what the last of them sent before it slept. */
	return !lab->own_proc || (lab_is_asleep(lab, -1) && !wire_has_more(&lab->wire));
}

void lab_observe(struct lab *lab, uint16_t conn, const char *title, bool is_main)
{
	struct tl_run *run = lab->run;
	struct tl_observation *o;
	struct tl_event *v;
	struct err e = { 0 };

	if (run->nobservations == TL_MAX_OBSERVATIONS) {
		run->observations_lost++;
		return;
	}
	record_changes(&lab->rec, conn, &e);
	o = &run->observations[run->nobservations];
	*o = (struct tl_observation){ .t_us = record_now_us(&lab->rec), .conn = conn };
	snprintf(o->title, sizeof(o->title), "%s", title);
	for (int side = 0; side < 2; side++) {
		struct tl_end *end = &o->ends[side];

		if (record_sample(&lab->rec, conn, side, &end->sample, &e) < 0)
			end->sample.state = lab->rec.last[conn][side].state;
		end->told = lab->rec.told[conn][side];
		find_holders(lab, end);
	}
	v = record_event(&lab->rec, TL_OBSERVE, TL_NOBODY, conn);
	if (v)
		v->observation = (uint16_t)run->nobservations;
	if (is_main || run->nobservations == 0)
		run->main_observation = (uint16_t)run->nobservations;
	run->nobservations++;
}
