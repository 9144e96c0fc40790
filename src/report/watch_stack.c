/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <string.h>

#include "report/watch.h"
#include "report/watch_field.h"

/* Calls that may take turns before they repeat: an interpreter enters itself by way of so many. */
#define TURN_MOST 16
/* What is left out is to be more than the line that says so. */
#define FOLD_LEAST 3
/* Lines have no date: after a day the time of an earlier one would mean today's. */
#define SHOWN_NS (24LL * 3600 * 1000000000)

static void add_call(struct buf *out, const struct tw_frame *f, const struct report_style *style)
{
	if (*f->function)
		WATCH_FIELD(out, f->function, style);
	else
		buf_printf(out, "0x%" PRIx64, f->offset ? f->offset : f->address);
	if (*f->object) {
		buf_str(out, " in ");
		WATCH_FIELD(out, f->object, style);
	}
	if (*f->file) {
		buf_str(out, " at ");
		WATCH_FIELD(out, f->file, style);
		buf_printf(out, ":%u", f->line);
	}
}

/* The lines in it may differ. */
static bool is_same_function(const struct tw_frame *a, const struct tw_frame *b)
{
	return !strncmp(a->function, b->function, sizeof(a->function)) &&
	       !strncmp(a->object, b->object, sizeof(a->object)) &&
	       (*a->function || (a->offset == b->offset && a->address == b->address));
}

/* How often the `turn` calls from `at` on come again, right behind. */
static unsigned times_more(const struct tw_stack *s, unsigned at, unsigned turn)
{
	unsigned i = at;

	while (i + turn < s->count && is_same_function(&s->frames[i], &s->frames[i + turn]))
		i++;
	return (i - at) / turn;
}

/* The turn that leaves out most calls; 0: none is worth it. */
static unsigned best_turn(const struct tw_stack *s, unsigned at)
{
	unsigned best = 0, most = FOLD_LEAST - 1;

	for (unsigned turn = 1; turn <= TURN_MOST; turn++) {
		unsigned folded = turn * times_more(s, at, turn);

		if (folded > most) {
			best = turn;
			most = folded;
		}
	}
	return best;
}

static void add_fold(struct buf *out, unsigned turn, unsigned times)
{
	buf_printf(out, "  %-10s(the same ", "");
	if (turn > 1)
		buf_printf(out, "%u functions", turn);
	else
		buf_str(out, "function");
	if (times > 1)
		buf_printf(out, " %u times more)\n", times);
	else
		buf_str(out, " once more)\n");
}

void watch_text_stack(struct buf *out, const char *title, const struct tw_stack *s,
		      const struct report_style *style)
{
	for (unsigned i = 0; i < s->count;) {
		unsigned turn = best_turn(s, i), times = turn ? times_more(s, i, turn) : 0;

		for (unsigned end = i + (turn ? turn : 1); i < end; i++) {
			buf_printf(out, "  %-10s", i ? "" : title);
			add_call(out, &s->frames[i], style);
			buf_str(out, "\n");
		}
		if (turn)
			add_fold(out, turn, times);
		i += turn * times;
	}
	if (*s->note) {
		buf_printf(out, "  %-10s(", s->count ? "" : title);
		WATCH_FIELD(out, s->note, style);
		buf_str(out, ")\n");
	}
}

static bool is_libc(const struct tw_frame *f)
{
	/* glibc's, before 2.34 with threads apart; musl's, whose loader it is. */
	static const char *const objects[] = { "libc.so", "libc-2.", "libpthread", "libc.musl-",
					       "ld-musl-" };

	for (size_t i = 0; i < sizeof(objects) / sizeof(*objects); i++)
		if (!strncmp(f->object, objects[i], strlen(objects[i])))
			return true;
	return false;
}

/* The call that says most of where it is: the first of the program's own, or its libraries'. */
static const struct tw_frame *place_of(const struct tw_stack *s)
{
	for (unsigned i = 0; i < s->count; i++)
		if (!is_libc(&s->frames[i]))
			return &s->frames[i];
	return &s->frames[0];
}

/* FNV-1a. */
static uint64_t hash_of(const struct buf *b)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < b->len; i++)
		hash = (hash ^ (uint8_t)b->data[i]) * 0x100000001b3;
	return hash;
}

/* When this text was shown; 0: it was not, or long ago. From now on it was. */
static int64_t shown_at(struct watch_shown *shown, const struct buf *text, int64_t wall_ns)
{
	uint64_t hash = hash_of(text);

	for (unsigned i = 0; i < WATCH_SHOWN; i++) {
		if (shown->stacks[i].hash != hash || !shown->stacks[i].wall_ns)
			continue;
		if (wall_ns - shown->stacks[i].wall_ns < SHOWN_NS)
			return shown->stacks[i].wall_ns;
		shown->stacks[i].wall_ns = wall_ns;
		return 0;
	}
	shown->stacks[shown->next].hash = hash;
	shown->stacks[shown->next].wall_ns = wall_ns;
	shown->next = (shown->next + 1) % WATCH_SHOWN;
	return 0;
}

void watch_text_stack_once(struct buf *out, const char *title, const struct tw_stack *s,
			   int64_t wall_ns, struct watch_shown *shown,
			   const struct report_style *style)
{
	_buf_ struct buf whole = { 0 };
	int64_t before;

	if (!shown || s->count < 2) {
		watch_text_stack(out, title, s, style);
		return;
	}
	watch_text_stack(&whole, title, s, style);
	before = shown_at(shown, &whole, wall_ns);
	if (!before) {
		buf_add(out, whole.data, whole.len);
		return;
	}
	buf_printf(out, "  %-10s", title);
	add_call(out, place_of(s), style);
	buf_str(out, " (stack as at ");
	watch_text_clock(out, before);
	buf_str(out, ")\n");
}

static const char *why_not_told(const struct tw_line *l, const struct watch_taking *taking)
{
	if (l->waiting)
		return "it is not accepted: nobody can read it";
	if (!l->told && l->first == TW_FIRST_HERE)
		return "its peer has not closed: there is no end to read yet";
	if (!l->told && l->taken_in)
		return "no read has returned 0 since the watch began; of those before nothing is "
		       "known";
	if (!l->told)
		return l->dead ? "no read returned 0 before it died" : "no read has returned 0 yet";
	if (!taking->stacks)
		return "not taken: --no-stacks";
	return "not taken: too many new ones at once, or it was no process that is watched";
}

static const char *why_not_made(const struct tw_line *l, const struct watch_taking *taking)
{
	if (l->waiting)
		return "it is not accepted yet";
	if (!taking->stacks)
		return "not taken: --no-stacks";
	if (l->taken_in)
		return "it was made before the watch began";
	if (taking->made)
		return "not recorded: it was made before the watch began, or by another process";
	return "not recorded before the first report of a process: see --made";
}

static void add_or(struct buf *out, const char *title, const char *stack, const char *why)
{
	if (stack)
		buf_str(out, stack);
	else
		buf_printf(out, "  %-10s(%s)\n", title, why);
}

void watch_text_whole(struct buf *out, const struct tw_line *line, const char *told,
		      const char *made, const struct watch_taking *taking,
		      const struct report_style *style)
{
	watch_text_head(out, line, style);
	add_or(out, "told at", told, why_not_told(line, taking));
	add_or(out, watch_made_title(line), made, why_not_made(line, taking));
}
