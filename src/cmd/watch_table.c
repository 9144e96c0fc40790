/* SPDX-License-Identifier: MIT */
#include "cmd/watch_table.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/vec.h"
#include "report/watch.h"

/* An open end that has no item, and whose it was when it was counted: later lines may have others.
 */
struct counted {
	uint64_t netns, cookie;
	struct tcp_addr local, peer;
	struct table_who who;
};

static void free_item(struct table_item *it)
{
	free(it->line);
	free(it->told);
	free(it->made);
}

void table_free(struct table *t)
{
	for (uint32_t i = 0; i < t->item_count; i++)
		free_item(&t->items[i]);
	free(t->items);
	free(t->procs);
	tdestroy(t->counted, free);
}

bool table_same(const struct table_who *a, const struct table_who *b)
{
	return a->pid == b->pid && a->start_ns == b->start_ns;
}

struct table_proc *table_proc(const struct table *t, const struct table_who *who)
{
	for (uint32_t i = 0; i < t->proc_count; i++)
		if (table_same(&t->procs[i].who, who))
			return &t->procs[i];
	return NULL;
}

struct table_item *table_row(const struct table *t, const struct table_who *who, int row)
{
	for (uint32_t i = 0; i < t->item_count; i++)
		if (table_same(&t->items[i].who, who) && row-- == 0)
			return &t->items[i];
	return NULL;
}

int table_row_of(const struct table *t, const struct table_who *who, uint64_t id)
{
	int row = 0;

	for (uint32_t i = 0; i < t->item_count; i++) {
		if (!table_same(&t->items[i].who, who))
			continue;
		if (t->items[i].id == id)
			return row;
		row++;
	}
	return -1;
}

struct table_item *table_item(const struct table *t, uint64_t id)
{
	for (uint32_t i = 0; i < t->item_count; i++)
		if (t->items[i].id == id)
			return &t->items[i];
	return NULL;
}

static struct table_who who_of(const struct tw_line *line)
{
	const struct tw_owner *o = &line->owners[0];

	return (struct table_who){ .pid = o->pid, .start_ns = o->start_ns };
}

static struct table_proc *proc_of(struct table *t, const struct tw_line *line)
{
	struct table_who who = who_of(line);
	struct table_proc *p = table_proc(t, &who);

	if (!p) {
		if (vec_reserve(&t->procs, &t->proc_cap, t->proc_count + 1, sizeof(*t->procs)))
			return NULL;
		p = &t->procs[t->proc_count++];
		*p = (struct table_proc){ .who = who };
	}
	memcpy(p->comm, line->owners[0].comm, TW_COMM); /* an exec changes it */
	return p;
}

/* A dead end keeps its addresses while a new connection may have them. */
static struct table_item *item_of(const struct table *t, const struct tw_line *line)
{
	const struct tcp_sample *s = &line->sample;

	for (uint32_t i = 0; i < t->item_count; i++) {
		struct table_item *it = &t->items[i];

		if ((it->cookie == s->cookie || !it->cookie || !s->cookie) &&
		    it->netns == s->netns && tcp_addr_equal(&it->local, &s->local) &&
		    tcp_addr_equal(&it->peer, &s->peer))
			return it;
	}
	return NULL;
}

static int by_addr(const struct tcp_addr *a, const struct tcp_addr *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	if (a->port != b->port)
		return a->port < b->port ? -1 : 1;
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

static int by_end(const void *pa, const void *pb)
{
	const struct counted *a = pa, *b = pb;
	int by = by_addr(&a->local, &b->local);

	if (!by)
		by = by_addr(&a->peer, &b->peer);
	if (by)
		return by;
	if (a->netns != b->netns)
		return a->netns < b->netns ? -1 : 1;
	return a->cookie < b->cookie ? -1 : a->cookie > b->cookie;
}

static struct counted counted_of(const struct tw_line *line)
{
	return (struct counted){
		.netns = line->sample.netns,
		.cookie = line->sample.cookie,
		.local = line->sample.local,
		.peer = line->sample.peer,
		.who = who_of(line),
	};
}

/* A subflow's cookie may be given to it between two lines. */
static struct counted *counted_find(const struct table *t, const struct tw_line *line)
{
	struct counted key = counted_of(line), **node = tfind(&key, &t->counted, by_end);

	if (!node) {
		key.cookie = 0;
		node = tfind(&key, &t->counted, by_end);
	}
	return node ? *node : NULL;
}

/* Returns whether it will be known again. */
static bool counted_add(struct table *t, const struct tw_line *line)
{
	struct counted *c = malloc(sizeof(*c)), **node;

	if (!c)
		return false;
	*c = counted_of(line);
	node = tsearch(c, &t->counted, by_end);
	if (node && *node == c)
		return true;
	free(c);
	return false;
}

static void counted_remove(struct table *t, struct counted *c)
{
	tdelete(c, &t->counted, by_end);
	free(c);
}

/* A later line may have no stack any more, or one that is not kept: what it had is kept. */
static void take_stack(const struct table *t, char **text, const char *title,
		       const struct tw_stack *stack)
{
	struct buf b = { 0 };

	if (!stack || (*text && !stack->count))
		return;
	watch_text_stack(&b, title, stack, &t->style);
	free(*text);
	*text = b.data;
}

/* When it was so, CLOCK_MONOTONIC: a line may have waited for its stacks. */
static int64_t moment_of(const struct tw_line *line)
{
	int64_t now = clock_mono_ns();
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return now - (ts.tv_sec * CLOCK_NS_PER_S + ts.tv_nsec - line->wall_ns);
}

/* The stacks are valid for the line only. */
static void take_line(struct table *t, struct table_item *it, const struct tw_line *line)
{
	it->said_ns = moment_of(line);
	it->since_ns = it->said_ns - (int64_t)line->age_ns;
	take_stack(t, &it->told, "told at", line->told_stack);
	take_stack(t, &it->made, watch_made_title(line), line->made_stack);
	*it->line = *line;
	it->line->told_stack = it->line->made_stack = NULL;
	if (line->what != TW_CLOSED)
		it->line->what = TW_HALF_CLOSED;
	t->unsorted = true;
}

/* Returns whether there was room for it; it is that process's then, whoever the line names. */
static bool add_item(struct table *t, const struct tw_line *line, struct table_proc *p)
{
	struct table_item it = {
		.netns = line->sample.netns,
		.cookie = line->sample.cookie,
		.local = line->sample.local,
		.peer = line->sample.peer,
		.who = p->who,
	};

	if (t->item_count == TABLE_MOST_ITEMS ||
	    vec_reserve(&t->items, &t->item_cap, t->item_count + 1, sizeof(*t->items)))
		return false;
	it.line = malloc(sizeof(*it.line));
	if (!it.line)
		return false;
	it.id = ++t->last_id;
	take_line(t, &it, line);
	t->items[t->item_count++] = it;
	p->kept++;
	return true;
}

/* The last one takes its place. */
static void remove_item(struct table *t, struct table_item *it)
{
	free_item(it);
	*it = t->items[--t->item_count];
	t->unsorted = true;
}

struct tw_line table_line_now(const struct table_item *it, int64_t now_ns)
{
	struct tw_line line = *it->line;
	int64_t passed = now_ns - it->said_ns;

	line.wall_ns += passed;
	line.age_ns += (uint64_t)passed;
	line.told_ns += (uint64_t)passed;
	return line;
}

static void take_report(struct table *t, const struct tw_line *line)
{
	struct table_proc *p = proc_of(t, line);

	if (!p || (!add_item(t, line, p) && !counted_add(t, line)))
		return;
	p->open++;
	p->ever++;
	p->idle = 0;
	t->open++;
	t->ever++;
}

/* One for which there was no room when it was reported is kept when more is heard of it. */
static void take_news(struct table *t, const struct tw_line *line)
{
	struct table_item *it = item_of(t, line);
	struct counted *c = it ? NULL : counted_find(t, line);
	struct table_proc *p = c ? table_proc(t, &c->who) : NULL;

	if (it)
		take_line(t, it, line);
	else if (p && add_item(t, line, p))
		counted_remove(t, c);
}

/* Whoever has it now: it leaves the count that it came into. */
static void take_over(struct table *t, const struct tw_line *line)
{
	struct table_item *it = item_of(t, line);
	struct counted *c = it ? NULL : counted_find(t, line);
	struct table_proc *p = it ? table_proc(t, &it->who) : c ? table_proc(t, &c->who) : NULL;

	if (p) {
		p->open--;
		p->kept -= it != NULL;
		t->open--;
	}
	if (it)
		remove_item(t, it);
	if (c)
		counted_remove(t, c);
}

void table_line(struct table *t, const struct tw_line *line)
{
	struct table_item *it;

	switch (line->what) {
	case TW_HALF_CLOSED:
		take_report(t, line);
		break;
	case TW_OVER:
		take_over(t, line);
		break;
	case TW_TOLD:
	case TW_DEAD:
	case TW_STILL:
		take_news(t, line);
		break;
	case TW_CLOSED:
		it = item_of(t, line);
		if (it)
			take_line(t, it, line);
		break;
	default:
		break;
	}
}

void table_second(struct table *t)
{
	uint32_t kept = 0;

	t->second++;
	for (uint32_t i = 0; i < t->proc_count; i++) {
		struct table_proc *p = &t->procs[i];

		p->history[t->second % TABLE_HISTORY] = p->open;
		p->idle = p->open ? 0 : p->idle + 1;
		if (p->idle < TABLE_HISTORY)
			t->procs[kept++] = *p;
	}
	t->proc_count = kept;
}

static int by_open(const void *pa, const void *pb)
{
	const struct table_proc *a = pa, *b = pb;

	if (a->open != b->open)
		return a->open < b->open ? 1 : -1;
	if (a->who.pid != b->who.pid)
		return a->who.pid < b->who.pid ? -1 : 1;
	return a->who.start_ns < b->who.start_ns ? -1 : a->who.start_ns > b->who.start_ns;
}

static int by_age(const void *pa, const void *pb)
{
	const struct table_item *a = pa, *b = pb;

	if (a->since_ns != b->since_ns)
		return a->since_ns < b->since_ns ? -1 : 1;
	return a->id < b->id ? -1 : a->id > b->id;
}

void table_sort(struct table *t)
{
	if (t->proc_count)
		qsort(t->procs, t->proc_count, sizeof(*t->procs), by_open);
	if (t->unsorted && t->item_count)
		qsort(t->items, t->item_count, sizeof(*t->items), by_age);
	t->unsorted = false;
}
