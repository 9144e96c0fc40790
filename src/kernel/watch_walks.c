/* SPDX-License-Identifier: MIT */
/* Walks that the kernel makes for the watch: over descriptors, processes and sockets. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/watch_private.h"

/* Processes that are walked over one by one. */
#define MOST_HOLDING 32

/* For one object the kernel hands on 32 KiB at most, and says E2BIG; so this says something else.
 */
#define TOO_MANY (-EOVERFLOW)

/* Reads up to `len` bytes of a walk until its end. In one read the kernel looks at a million things
 * at most, says so where they gave nothing, and goes on in the next. Returns the count or -errno.
 */
static ssize_t read_walk(int fd, void *data, size_t len)
{
	char *to = data;
	size_t got = 0;

	while (got < len) {
		ssize_t n = read(fd, to + got, len - got);

		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		if (n == 0)
			break;
		got += n > 0 ? (size_t)n : 0;
	}
	return (ssize_t)got;
}

static int walk_holders(struct watch *w, int link, watch_owner_fn *each, void *arg, struct err *e)
{
	static struct watch_owner space[512];
	_fd_ int fd = -1;
	ssize_t n = 0;
	int r = 0;

	w->skel->bss->walks++;
	fd = bpf_iter_create(link);
	if (fd < 0)
		return err_errno(e, -errno, "starting the walk over descriptors");
	do {
		n = read_walk(fd, space, sizeof(space));
		if (w->each && n > 0)
			r = watch_drain(w, w->each, w->arg, e);
		for (ssize_t i = 0; i + (ssize_t)sizeof(*space) <= n; i += sizeof(*space))
			each(&space[i / sizeof(*space)], arg);
	} while (n == sizeof(space) && !r);
	if (r)
		return r;
	return n < 0 ? err_errno(e, (int)n, "walking over descriptors") : 0;
}

int watch_owners(struct watch *w, bool take_in, watch_owner_fn *each, void *arg, struct err *e)
{
	int r;

	w->skel->bss->taking_in = take_in;
	r = walk_holders(w, bpf_link__fd(w->skel->links.holders), each, arg, e);
	w->skel->bss->taking_in = false;
	return r;
}

int watch_listener(struct watch *w, uint64_t sk, uint64_t began, uint64_t *listener, struct err *e)
{
	struct watch_waiting end = { .sk = sk, .began = began };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &end, .ctx_size_in = sizeof(end));
	int r = bpf_prog_test_run_opts(bpf_program__fd(w->skel->progs.waits_at), &opts);

	*listener = r ? 0 : end.listener;
	return r ? err_errno(e, r, "asking at which listener an end waits") : 0;
}

bool watch_was_crowded(struct watch *w)
{
	bool crowded = w->skel->bss->crowded;

	w->skel->bss->crowded = false;
	return crowded;
}

static void ask(struct watch_asked *asked, const uint64_t *files, unsigned count)
{
	*asked = (struct watch_asked){ .count = count };
	for (unsigned i = 0; i < count; i++) {
		uint32_t bit = watch_asked_bit(files[i]);

		asked->file[i] = files[i];
		asked->filter[bit >> 6] |= 1ULL << (bit & 63);
	}
}

/* Gives the processes in `pids`. Returns how many, or -errno. */
static int find_holding(const struct watch *w, uint32_t pids[MOST_HOLDING + 1], struct err *e)
{
	_fd_ int fd = bpf_iter_create(bpf_link__fd(w->skel->links.holding));
	ssize_t n;

	if (fd < 0)
		return err_errno(e, -errno, "starting the walk over processes");
	n = read_walk(fd, pids, (MOST_HOLDING + 1) * sizeof(*pids));
	if (n < 0)
		return err_errno(e, (int)n, "walking over processes");
	if ((size_t)n > MOST_HOLDING * sizeof(*pids))
		return TOO_MANY;
	return (int)((size_t)n / sizeof(*pids));
}

/* One that is gone meanwhile holds nothing any more. */
static int walk_process(struct watch *w, uint32_t pid, watch_owner_fn *each, void *arg,
			struct err *e)
{
	union bpf_iter_link_info info = { .task.pid = pid };
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = &info, .link_info_len = sizeof(info));
	struct bpf_link *link = bpf_program__attach_iter(w->skel->progs.holders, &opts);
	int r;

	if (!link)
		return errno == ESRCH ? 0 : -EOPNOTSUPP;
	r = walk_holders(w, bpf_link__fd(link), each, arg, e);
	bpf_link__destroy(link);
	return r;
}

int watch_owners_of(struct watch *w, const uint64_t *files, unsigned count, watch_owner_fn *each,
		    void *arg, struct err *e)
{
	uint32_t pids[MOST_HOLDING + 1] = { 0 }; /* for the analyser: find_holding() fills in `n` */
	int n, r = 0;

	if (count > WATCH_ASKED_MOST)
		return TOO_MANY;
	ask(&w->skel->bss->asked_files, files, count);
	n = find_holding(w, pids, e);
	if (n < 0)
		return n;
	for (int i = 0; i < n && !r; i++)
		if (pids[i]) /* else it has no number here, and cannot be told */
			r = walk_process(w, pids[i], each, arg, e);
	return r;
}

/* For one that writes nothing. */
static int run_iterator(const struct bpf_link *link, const char *what, struct err *e)
{
	_fd_ int fd = bpf_iter_create(bpf_link__fd(link));
	char space[64];
	ssize_t n;

	if (fd < 0)
		return err_errno(e, -errno, "starting %s", what);
	n = read_walk(fd, space, sizeof(space));
	return n < 0 ? err_errno(e, (int)n, "%s", what) : 0;
}

static int run_program(const struct bpf_program *program, const char *what, struct err *e)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	int r = bpf_prog_test_run_opts(bpf_program__fd(program), &opts);

	return r ? err_errno(e, r, "%s", what) : 0;
}

int watch_settle_claims(struct watch *w, watch_event_fn *each, void *arg, struct err *e)
{
	uint64_t files[WATCH_ASKED_MOST];
	unsigned count;
	int r;

	if (!w->skel->bss->claimed || w->pidns)
		return 0;
	r = run_program(w->skel->progs.claim_ends, "looking for ends without a descriptor", e);
	count = w->skel->bss->claim_count;
	if (r || !count)
		return r;
	for (unsigned i = 0; i < count && i < WATCH_ASKED_MOST; i++)
		files[i] = w->skel->bss->claims[i].file;
	ask(&w->skel->bss->asked_files, files, count);
	w->skel->bss->asked_files.mark = 1;
	r = run_iterator(w->skel->links.holding, "the walk over processes", e);
	if (!r)
		r = run_program(w->skel->progs.settle_claims, "reporting what has no descriptor",
				e);
	if (r)
		w->skel->bss->claimed = true; /* they are not settled */
	return r ? r : watch_drain(w, each, arg, e);
}

void watch_audits(struct watch *w, bool audits)
{
	w->skel->bss->auditing = audits;
}

int watch_take_in(struct watch *w, struct err *e)
{
	return run_iterator(w->skel->links.sockets, "the walk over sockets", e);
}

int watch_add_pid(struct watch *w, pid_t pid, struct err *e)
{
	w->skel->bss->asked = (uint32_t)pid;
	return run_iterator(w->skel->links.processes, "the walk over processes", e);
}

int watch_pids_left(struct watch *w, unsigned *left, struct err *e)
{
	int r;

	w->skel->bss->asked = w->skel->bss->left = 0;
	r = run_iterator(w->skel->links.processes, "the walk over processes", e);
	if (!r)
		*left = w->skel->bss->left;
	return r;
}
