/* SPDX-License-Identifier: MIT */
/* Theory of operation. libdw can unwind any process whose registers and memory it is given through
 * callbacks. Here the registers are those of the thread when its call was seen, and the memory is
 * the copied stack; nothing of the process is stopped or read but /proc/PID/maps and the files that
 * it has mapped. What is known of a process (a Dwfl) is kept, for the few processes that were
 * looked at last; it is read again where an address lies in no module, since a library may have
 * come.
 *
 * Unwinding needs little of a file: its .eh_frame. Naming a call reads debug information, which
 * Debian's files have compressed: libdw unpacks 15 MiB for the C library, and keeps it with the
 * process (it is `heavy`). So names are remembered by build id and place, for all processes
 * (framenames.h), and one process at a time is heavy: the one whose calls were named last. */
#include "kernel/unwind.h"

#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "kernel/demangle.h"
#include "kernel/framenames.h"
#include "kernel/mapped.h"
#include "kernel/perfmap.h"
#include "kernel/proc.h"

#define KNOWN 8

#define STACK_MOST \
	(8 << 20) /* what is wanted farther up was no address of the stack, most likely */

/* One process. */
struct known {
	pid_t pid;
	pid_t through; /* its thread that /proc shows more than a number of */
	uint64_t start;
	struct proc_image image;
	uint64_t used;
	Dwfl *dwfl;
	bool attached;
	bool closed; /* some of its files may not be opened */
	struct unwinder *unwinder;
	char *perfmap;
	size_t perfmap_len;
	/* During unwind(): */
	const struct watch_stack *stack;
	bool beyond; /* since the last call that was found, more of the stack was wanted than there
			is */
};

struct unwinder {
	struct known known[KNOWN];
	struct known *heavy; /* has debug information in memory; NULL: none has */
	uint64_t clock;
	struct framenames names;
};

static void forget(struct known *k)
{
	if (k->dwfl)
		dwfl_end(k->dwfl);
	free(k->perfmap);
	if (k->unwinder && k->unwinder->heavy == k)
		k->unwinder->heavy = NULL;
	*k = (struct known){ 0 };
}

static void make_heavy(struct known *k)
{
	struct unwinder *u = k->unwinder;

	if (u->heavy && u->heavy != k)
		forget(u->heavy);
	u->heavy = k;
}

/* The file as the process sees it: it may live in another mount namespace. */
static int find_elf(Dwfl_Module *mod, void **userdata, const char *name, Dwarf_Addr base,
		    char **file_name, Elf **elf)
{
	struct known *k = *userdata;
	char image[32];
	int fd;

	if (*name == '/' && k) {
		fd = mapped_open(k->through, name, base);
		if (fd >= 0) {
			*file_name = strdup(name);
			return fd;
		}
		k->closed |= fd == -EACCES || fd == -EPERM;
		if (fd == -ENXIO)
			return -1; /* memory of a device is better not touched */
		/* libdw would open whatever has that name here. What is in memory will do; this is
		 * what it calls a file that is nowhere else. */
		snprintf(image, sizeof(image), "[vdso: %d]", (int)k->through);
		name = image;
	}
	return dwfl_linux_proc_find_elf(mod, userdata, name, base, file_name, elf);
}

/* Also where a call cannot be unwound with .eh_frame. */
static int find_debuginfo(Dwfl_Module *mod, void **userdata, const char *modname, Dwarf_Addr base,
			  const char *file_name, const char *link, GElf_Word crc, char **found)
{
	if (!file_name || !mapped_debug_is_safe(file_name, link))
		return -1;
	if (*userdata)
		make_heavy(*userdata);
	return dwfl_standard_find_debuginfo(mod, userdata, modname, base, file_name, link, crc,
					    found);
}

static const Dwfl_Callbacks files = {
	.find_elf = find_elf,
	.find_debuginfo = find_debuginfo,
};

static pid_t next_thread(Dwfl *dwfl, void *arg, void **thread_arg)
{
	struct known *k = arg;

	if (*thread_arg)
		return 0;
	*thread_arg = k;
	return (pid_t)k->stack->tid;
}

static bool get_thread(Dwfl *dwfl, pid_t tid, void *arg, void **thread_arg)
{
	*thread_arg = arg;
	return true;
}

static bool read_memory(Dwfl *dwfl, Dwarf_Addr at, Dwarf_Word *value, void *arg)
{
	struct known *k = arg;
	const struct watch_stack *s = k->stack;
	uint64_t sp = s->regs[WATCH_SP], low = sp & -(uint64_t)WATCH_STACK_CHUNK;
	uint32_t above = s->size - s->low;

	if (at >= sp && s->low >= sizeof(*value) && at - low <= s->low - sizeof(*value)) {
		memcpy(value, s->data + (at - low), sizeof(*value));
		return true;
	}
	if (at >= s->high && above >= sizeof(*value) && at - s->high <= above - sizeof(*value)) {
		memcpy(value, s->data + s->low + (at - s->high), sizeof(*value));
		return true;
	}
	k->beyond |= at >= sp && at - sp < STACK_MOST;
	return false;
}

static bool set_registers(Dwfl_Thread *thread, void *arg)
{
	const struct watch_stack *s = ((struct known *)arg)->stack;
	Dwarf_Word regs[WATCH_REGS];

	for (int i = 0; i < WATCH_REGS; i++)
		regs[i] = s->regs[i];
#ifdef __aarch64__
	dwfl_thread_state_register_pc(thread, regs[WATCH_REGS - 1]);
	return dwfl_thread_state_registers(thread, 0, WATCH_REGS - 1, regs);
#else
	return dwfl_thread_state_registers(thread, 0, WATCH_REGS, regs);
#endif
}

static const Dwfl_Thread_Callbacks threads = {
	.next_thread = next_thread,
	.get_thread = get_thread,
	.memory_read = read_memory,
	.set_initial_registers = set_registers,
};

/* For find_elf(): a module that is reported carries no pointer of ours. */
static int adopt(Dwfl_Module *mod, void **userdata, const char *name, Dwarf_Addr base, void *arg)
{
	*userdata = arg;
	return DWARF_CB_OK;
}

/* By how much /proc shows a process to have started later than it did, in a time namespace. */
static int64_t boottime_offset(void)
{
	long long s = 0, ns = 0;
	const char *line;
	char text[256];

	if (fd_read_text("/proc/self/timens_offsets", text, sizeof(text)) <= 0)
		return 0;
	line = strstr(text, "boottime");
	if (!line || sscanf(line, "boottime %lld %lld", &s, &ns) != 2)
		return 0;
	return s * CLOCK_NS_PER_S + ns;
}

/* What it executes now: all 0 where that may not be told. */
static struct proc_image image_of(pid_t pid)
{
	struct proc_image image = { 0 };
	char path[64], text[1024];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	len = fd_read_text(path, text, sizeof(text));
	if (len > 0)
		proc_decode_image(text, (size_t)len, &image);
	return image;
}

static bool is_same_program(const struct proc_image *a, const struct proc_image *b)
{
	return a->code_start == b->code_start && a->code_end == b->code_end &&
	       a->stack_start == b->stack_start;
}

/* Whether the process's number is still its own. */
static bool is_there(const struct known *k)
{
	uint64_t tick = (uint64_t)(CLOCK_NS_PER_S / sysconf(_SC_CLK_TCK));
	char path[64], text[1024];
	struct proc_stat stat;
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)k->pid);
	len = fd_read_text(path, text, sizeof(text));
	return len > 0 && !proc_decode_stat(text, (size_t)len, &stat) &&
	       stat.start == (k->start + (uint64_t)boottime_offset()) / tick;
}

/* It still executes what was read of it, and the thread through which more is read is there; or all
 * of it has ended, and what was read is what there is. */
static bool is_as_known(const struct known *k)
{
	struct proc_image now = image_of(k->through);

	if (!now.stack_start)
		return (pid_t)proc_living_thread((uint32_t)k->pid) == k->through;
	return is_same_program(&now, &k->image);
}

/* Of another user's process auxv, which tells where the vdso lies, may not be read without
 * CAP_DAC_READ_SEARCH; what is mapped may. Returns 0, or another number. */
static int report_mapped(const struct known *k)
{
	char path[32];
	FILE *f;
	int r = dwfl_linux_proc_report(k->dwfl, k->through);

	if (!r)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)k->through);
	f = fopen(path, "re");
	if (!f)
		return r;
	r = dwfl_linux_proc_maps_report(k->dwfl, f);
	fclose(f);
	return r;
}

/* Reads which files the process has mapped. Returns whether it could. */
static bool learn(struct known *k)
{
	k->through = (pid_t)proc_living_thread((uint32_t)k->pid);
	k->image = image_of(k->through);
	k->dwfl = dwfl_begin(&files);
	if (!k->dwfl)
		return false;
	dwfl_report_begin(k->dwfl);
	if (report_mapped(k) || dwfl_report_end(k->dwfl, NULL, NULL))
		return false;
	dwfl_getmodules(k->dwfl, adopt, k, 0);
	k->perfmap = perfmap_read(k->pid, k->through, &k->perfmap_len);
	/* Else what was read may be another's. */
	return is_there(k) && is_as_known(k);
}

static struct known *know(struct unwinder *u, const struct watch_stack *s)
{
	struct known *oldest = &u->known[0];

	for (int i = 0; i < KNOWN; i++) {
		struct known *k = &u->known[i];

		if (k->dwfl && k->pid == (pid_t)s->tgid && k->start == s->start) {
			if (!is_as_known(k)) {
				forget(k);
				break;
			}
			k->used = ++u->clock;
			return k;
		}
		if (k->used < oldest->used)
			oldest = k;
	}
	forget(oldest);
	oldest->pid = (pid_t)s->tgid;
	oldest->start = s->start;
	oldest->used = ++u->clock;
	oldest->unwinder = u;
	if (!learn(oldest)) {
		forget(oldest);
		return NULL;
	}
	return oldest;
}

static void copy_text(char *to, size_t cap, const char *from)
{
	snprintf(to, cap, "%s", from ? from : "");
}

static void name_object(struct tw_frame *f, Dwfl_Module *mod, Dwarf_Addr pc)
{
	Dwarf_Addr base;
	const char *name = dwfl_module_info(mod, NULL, &base, NULL, NULL, NULL, NULL, NULL);
	const char *slash = name ? strrchr(name, '/') : NULL;

	copy_text(f->object, sizeof(f->object), slash ? slash + 1 : name);
	f->offset = pc - base;
}

static void name_line(struct tw_frame *f, Dwfl_Module *mod, Dwarf_Addr pc)
{
	Dwfl_Line *line = dwfl_module_getsrc(mod, pc);
	const char *file;
	int number = 0;

	if (!line)
		return;
	file = dwfl_lineinfo(line, NULL, &number, NULL, NULL, NULL);
	copy_text(f->file, sizeof(f->file), file);
	f->line = number > 0 ? (unsigned)number : 0;
}

/* A number for the module's file, 0 where it has no build id. */
static uint64_t file_of(Dwfl_Module *mod)
{
	const unsigned char *bits;
	GElf_Addr at;
	int len = dwfl_module_build_id(mod, &bits, &at);

	return len > 0 ? framenames_file(bits, len) : 0;
}

static void name_in_module(struct tw_frame *f, struct known *k, Dwfl_Module *mod, Dwarf_Addr pc)
{
	struct framenames *names = &k->unwinder->names;
	uint64_t file = file_of(mod);

	if (framenames_find(names, file, f->offset, f))
		return;
	make_heavy(k);
	demangle(dwfl_module_addrname(mod, pc), f->function, sizeof(f->function));
	name_line(f, mod, pc);
	if (file && *f->function)
		framenames_keep(names, file, f->offset, f);
}

/* JIT code may lie in memory without a file, or in one that is only memory (memfd, /dev/zero). */
static void name_frame(struct tw_frame *f, struct known *k, Dwarf_Addr pc)
{
	Dwfl_Module *mod = dwfl_addrmodule(k->dwfl, pc);
	uint64_t start;

	if (mod) {
		name_object(f, mod, pc);
		name_in_module(f, k, mod, pc);
	}
	if (!*f->function && k->perfmap &&
	    perfmap_find(k->perfmap, k->perfmap_len, pc, f->function, sizeof(f->function),
			 &start)) {
		copy_text(f->object, sizeof(f->object), "perf map");
		f->offset = pc - start;
	}
}

struct walk {
	struct known *known;
	struct tw_stack *out;
	bool full;
};

static int on_frame(Dwfl_Frame *frame, void *arg)
{
	struct walk *w = arg;
	bool exact;
	Dwarf_Addr pc;

	w->known->beyond = false; /* libdw looks for the next call at once */
	if (!dwfl_frame_pc(frame, &pc, &exact))
		return DWARF_CB_ABORT;
	if (!pc)
		return DWARF_CB_ABORT;
	if (w->out->count == TW_MAX_FRAMES) {
		w->full = true;
		return DWARF_CB_ABORT;
	}
	/* A return address may lie behind the caller's last instruction. */
	w->out->frames[w->out->count].address = pc;
	name_frame(&w->out->frames[w->out->count++], w->known, exact ? pc : pc - 1);
	return DWARF_CB_OK;
}

static const char files_closed[] =
	"its files may not be read: CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN is missing";

static void walk_frames(struct known *k, const struct watch_stack *s, struct tw_stack *out)
{
	struct walk w = { .known = k, .out = out };
	int r;

	k->stack = s;
	k->beyond = false;
	if (!k->attached)
		k->attached = dwfl_attach_state(k->dwfl, NULL, k->pid, &threads, k);
	if (!k->attached) {
		copy_text(out->note, sizeof(out->note), dwfl_errmsg(-1));
		return;
	}
	r = dwfl_getthread_frames(k->dwfl, (pid_t)s->tid, on_frame, &w);
	if (w.full)
		copy_text(out->note, sizeof(out->note), "more calls above");
	else if (k->beyond) /* which libdw takes for the outermost call */
		snprintf(out->note, sizeof(out->note),
			 "more calls above: %u KiB of the stack were copied", s->size >> 10);
	else if (k->closed)
		copy_text(out->note, sizeof(out->note), files_closed);
	else if (r < 0)
		snprintf(out->note, sizeof(out->note), "ends early: %s", dwfl_errmsg(-1));
	k->stack = NULL;
}

static bool all_in_modules(const struct tw_stack *s)
{
	for (unsigned i = 0; i < s->count; i++)
		if (!*s->frames[i].object)
			return false;
	return s->count > 0;
}

static bool was_another_program(const struct known *k, const struct watch_stack *s)
{
	struct proc_image then = { s->code_start, s->code_end, s->stack_start };

	return k->image.stack_start && then.stack_start && !is_same_program(&then, &k->image);
}

/* Why nothing is known of a process: what it has mapped is not told, or the files are not to be
 * opened (mapped.c), or it is not there. */
static const char *why_unknown(const struct watch_stack *s)
{
	struct known asked = { .pid = (pid_t)s->tgid, .start = s->start };
	char path[32], byte;
	_fd_ int fd = -1;

	if (!is_there(&asked))
		return "the process was gone before it was read";
	snprintf(path, sizeof(path), "/proc/%u/maps", s->tgid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && (errno == EACCES || errno == EPERM))
		return "the process may not be read: CAP_SYS_PTRACE is missing";
	if (fd >= 0 && read(fd, &byte, 1) == 1)
		return files_closed;
	return "the process was gone before it was read";
}

void unwind(struct unwinder *u, const struct watch_stack *s, struct tw_stack *out)
{
	struct known *k = know(u, s);

	memset(out, 0, sizeof(*out));
	if (!k) {
		copy_text(out->note, sizeof(out->note), why_unknown(s));
		return;
	}
	if (was_another_program(k, s)) {
		copy_text(out->note, sizeof(out->note),
			  "the process runs another program since then");
		return;
	}
	walk_frames(k, s, out);
	if (all_in_modules(out))
		return;
	forget(k); /* a library, or JIT code, may have come since */
	k = know(u, s);
	if (!k)
		return;
	memset(out, 0, sizeof(*out));
	walk_frames(k, s, out);
}

struct unwinder *unwinder_new(void)
{
	/* No debug information is worth waiting for a server while connections are watched. */
	unsetenv("DEBUGINFOD_URLS");
	return calloc(1, sizeof(struct unwinder));
}

void unwinder_rest(struct unwinder *u)
{
	if (u->heavy)
		forget(u->heavy);
}

void unwinder_free(struct unwinder *u)
{
	if (!u)
		return;
	for (int i = 0; i < KNOWN; i++)
		forget(&u->known[i]);
	free(u);
}
