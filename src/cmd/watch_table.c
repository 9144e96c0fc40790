/* SPDX-License-Identifier: MIT */
#include "cmd/watch_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/vec.h"
#include "report/watch.h"

void table_free(struct table *t)
{
	for (uint32_t i = 0; i < t->item_count; i++)
		free(t->items[i].text);
	free(t->items);
	free(t->procs);
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

static char *text_of(const struct table *t, const struct tw_line *line)
{
	struct buf b = { 0 };

	watch_text(&b, line, NULL, &t->style);
	return b.data;
}

static struct table_item make_item(const struct table *t, const struct tw_line *line)
{
	return (struct table_item){
		.netns = line->sample.netns,
		.cookie = line->sample.cookie,
		.local = line->sample.local,
		.peer = line->sample.peer,
		.who = who_of(line),
		.fd = line->owners[0].fd,
		.owner_count = line->owner_count,
		.since_ns = clock_mono_ns() - (int64_t)line->age_ns,
		.at_least = line->at_least,
		.state = line->sample.state,
		.cause = line->cause,
		.first = line->first,
		.text = text_of(t, line),
	};
}

/* One for which there was no room when it was reported is kept when more is heard of it. */
static void add_item(struct table *t, const struct tw_line *line)
{
	struct table_who who = who_of(line);
	struct table_proc *p = table_proc(t, &who);

	if (!p || t->item_count == TABLE_MOST_ITEMS ||
	    vec_reserve(&t->items, &t->item_cap, t->item_count + 1, sizeof(*t->items)))
		return;
	t->items[t->item_count] = make_item(t, line);
	t->items[t->item_count++].id = ++t->last_id;
	p->kept++;
}

static void renew_item(const struct table *t, struct table_item *it, const struct tw_line *line)
{
	struct table_item fresh = make_item(t, line);

	fresh.id = it->id;
	fresh.who = it->who;
	free(it->text);
	*it = fresh;
}

/* The last one takes its place. */
static void remove_item(struct table *t, struct table_item *it)
{
	free(it->text);
	*it = t->items[--t->item_count];
}

static void take_over(struct table *t, const struct tw_line *line)
{
	struct table_item *it = item_of(t, line);
	struct table_who who = it ? it->who : who_of(line);
	struct table_proc *p = table_proc(t, &who);

	if (p && p->open) {
		p->open--;
		p->kept -= it != NULL;
		t->open--;
	}
	if (it)
		remove_item(t, it);
}

void table_line(struct table *t, const struct tw_line *line)
{
	struct table_proc *p;
	struct table_item *it;

	switch (line->what) {
	case TW_HALF_CLOSED:
		p = proc_of(t, line);
		if (!p)
			return;
		p->open++;
		p->ever++;
		p->idle = 0;
		t->open++;
		t->ever++;
		add_item(t, line);
		break;
	case TW_OVER:
		take_over(t, line);
		break;
	case TW_TOLD:
	case TW_DEAD:
	case TW_STILL:
		it = item_of(t, line);
		if (it)
			renew_item(t, it, line);
		else
			add_item(t, line);
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

void table_sort(struct table *t)
{
	if (t->proc_count)
		qsort(t->procs, t->proc_count, sizeof(*t->procs), by_open);
}
