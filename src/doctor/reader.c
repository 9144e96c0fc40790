/* SPDX-License-Identifier: MIT */
#include "doctor/reader.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "kernel/unwind.h"

/* Once nothing was to be read for so long, the memory of the last is given back. */
#define REST_NS CLOCK_NS_PER_S

enum step {
	STEP_FREE,
	STEP_ASKED,
	STEP_READING,
	STEP_READ,
};

struct job {
	enum step step;
	bool urgent;
	uint32_t site;
	uint64_t number; /* in the order of asking */
	struct watch_stack *raw;
	struct reader_text *text; /* NULL without memory */
};

struct reader {
	pthread_mutex_t lock;
	pthread_cond_t asked, read; /* CLOCK_MONOTONIC */
	pthread_t thread;
	bool started, stop;
	int event;
	uint64_t count;
	struct job jobs[READER_JOBS];
	struct unwinder *unwinder; /* the thread's own */
};

struct reader *reader_new(void)
{
	struct reader *r = calloc(1, sizeof(*r));
	pthread_condattr_t attr;

	if (!r)
		return NULL;
	r->unwinder = unwinder_new();
	r->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!r->unwinder || r->event < 0) {
		unwinder_free(r->unwinder);
		fd_close(r->event);
		free(r);
		return NULL;
	}
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->asked, &attr);
	pthread_cond_init(&r->read, &attr);
	pthread_condattr_destroy(&attr);
	return r;
}

/* Whether it has ended. */
static bool end_thread(struct reader *r)
{
	uint64_t end = (uint64_t)clock_mono_ns() + READER_END_NS;
	struct timespec ts = { .tv_sec = (time_t)(end / CLOCK_NS_PER_S),
			       .tv_nsec = (long)(end % CLOCK_NS_PER_S) };

	if (!pthread_clockjoin_np(r->thread, NULL, CLOCK_MONOTONIC, &ts))
		return true;
	pthread_detach(r->thread);
	return false;
}

void reader_free(struct reader *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	pthread_cond_signal(&r->asked);
	pthread_mutex_unlock(&r->lock);
	if (r->started && !end_thread(r))
		return;
	for (int i = 0; i < READER_JOBS; i++) {
		free(r->jobs[i].raw);
		free(r->jobs[i].text);
	}
	pthread_cond_destroy(&r->asked);
	pthread_cond_destroy(&r->read);
	pthread_mutex_destroy(&r->lock);
	unwinder_free(r->unwinder);
	fd_close(r->event);
	free(r);
}

int reader_fd(const struct reader *r)
{
	return r->event;
}

/* The first of that step in the order of asking, the urgent before all. NULL: none. */
static struct job *first(struct reader *r, enum step step)
{
	struct job *best = NULL;

	for (int i = 0; i < READER_JOBS; i++) {
		struct job *j = &r->jobs[i];

		if (j->step != step)
			continue;
		if (!best || j->urgent > best->urgent ||
		    (j->urgent == best->urgent && j->number < best->number))
			best = j;
	}
	return best;
}

static int wait_until(struct reader *r, pthread_cond_t *cond, uint64_t ns)
{
	struct timespec ts = { .tv_sec = (time_t)(ns / CLOCK_NS_PER_S),
			       .tv_nsec = (long)(ns % CLOCK_NS_PER_S) };

	return pthread_cond_timedwait(cond, &r->lock, &ts);
}

/* Waits for a job, and lets go of memory where there is none for long. NULL: the end. */
static struct job *next_job(struct reader *r)
{
	uint64_t rest = (uint64_t)clock_mono_ns() + REST_NS;
	bool resting = false;
	struct job *j;

	while (!r->stop && !(j = first(r, STEP_ASKED))) {
		if (resting) {
			pthread_cond_wait(&r->asked, &r->lock);
		} else if (wait_until(r, &r->asked, rest) == ETIMEDOUT) {
			pthread_mutex_unlock(&r->lock);
			unwinder_rest(r->unwinder);
			malloc_trim(0);
			pthread_mutex_lock(&r->lock);
			resting = true;
		}
	}
	return r->stop ? NULL : j;
}

/* NULL without memory. */
static struct reader_text *read_stack(struct unwinder *u, const struct watch_stack *raw)
{
	struct reader_text *text = malloc(sizeof(*text)), *cut;

	if (!text)
		return NULL;
	text->site = raw->site;
	unwind(u, raw, &text->text);
	cut = realloc(text, offsetof(struct reader_text, text.frames) +
				    text->text.count * sizeof(text->text.frames[0]));
	return cut ? cut : text;
}

static void *run(void *arg)
{
	struct reader *r = arg;
	uint64_t one = 1;
	struct job *j;

	pthread_mutex_lock(&r->lock);
	while ((j = next_job(r))) {
		struct reader_text *text;

		j->step = STEP_READING;
		pthread_mutex_unlock(&r->lock);
		text = read_stack(r->unwinder, j->raw);
		pthread_mutex_lock(&r->lock);
		free(j->raw);
		j->raw = NULL;
		j->text = text;
		j->step = STEP_READ;
		pthread_cond_signal(&r->read);
		if (write(r->event, &one, sizeof(one)) < 0)
			continue; /* it is readable already */
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

static struct job *job_of(struct reader *r, uint32_t site)
{
	for (int i = 0; i < READER_JOBS; i++)
		if (r->jobs[i].step != STEP_FREE && r->jobs[i].site == site)
			return &r->jobs[i];
	return NULL;
}

bool reader_is_at(struct reader *r, uint32_t site, bool urgent)
{
	struct job *j;

	pthread_mutex_lock(&r->lock);
	j = job_of(r, site);
	if (j)
		j->urgent |= urgent;
	pthread_mutex_unlock(&r->lock);
	return j;
}

static int take_job(struct reader *r, struct watch_stack *raw, bool urgent)
{
	struct job *j = job_of(r, raw->site);

	if (j) {
		j->urgent |= urgent;
		return -EALREADY;
	}
	if (!r->started)
		r->started = !pthread_create(&r->thread, NULL, run, r);
	if (!r->started)
		return -ENOMEM;
	j = first(r, STEP_FREE);
	if (!j)
		return -EAGAIN;
	*j = (struct job){ STEP_ASKED, urgent, raw->site, ++r->count, raw, NULL };
	pthread_cond_signal(&r->asked);
	return 0;
}

int reader_ask(struct reader *r, struct watch_stack *raw, bool urgent)
{
	int code;

	pthread_mutex_lock(&r->lock);
	code = take_job(r, raw, urgent);
	pthread_mutex_unlock(&r->lock);
	if (code)
		free(raw);
	return code;
}

struct reader_text *reader_take(struct reader *r, uint64_t wait_ns)
{
	uint64_t end = (uint64_t)clock_mono_ns() + wait_ns, count;
	struct reader_text *text = NULL;
	ssize_t cleared = read(r->event, &count, sizeof(count));
	struct job *j;

	pthread_mutex_lock(&r->lock);
	while (!(j = first(r, STEP_READ)) && wait_ns &&
	       (first(r, STEP_ASKED) || first(r, STEP_READING)))
		if (wait_until(r, &r->read, end) == ETIMEDOUT)
			wait_ns = 0;
	if (j) {
		text = j->text;
		*j = (struct job){ 0 };
	}
	pthread_mutex_unlock(&r->lock);
	(void)cleared;
	return text;
}
