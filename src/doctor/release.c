/* SPDX-License-Identifier: MIT */
#include "doctor/release.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "doctor/nsdiag.h"
#include "kernel/destroy.h"
#include "kernel/diag.h"
#include "kernel/holdcopy.h"

/* Meant only where named: it ends by itself, is in use, or cannot be released at all. */
#define ONLY_IF_NAMED (TCP_CAUSES_NORMAL | TCP_CAUSE_BIT(TCP_CAUSE_DEAD))

bool release_is_aimed(const struct filter *f)
{
	return f->states || f->causes || f->pid || f->port || f->has_peer || f->has_older ||
	       f->comm || f->netns || f->cgroup;
}

/* `or_dead`: dead sockets are meant, too. */
static bool is_meant(const struct filter *f, const struct census *c, const struct census_socket *s,
		     bool or_dead)
{
	if (!filter_match(f, c, s))
		return false;
	if (or_dead && s->v.cause == TCP_CAUSE_DEAD)
		return true;
	return !(ONLY_IF_NAMED & TCP_CAUSE_BIT(s->v.cause)) || (f->states & TCP_BIT(s->s.state)) ||
	       (f->causes & TCP_CAUSE_BIT(s->v.cause));
}

static enum release_kin kin_of(const struct session *session, uint32_t pid)
{
	switch (session_kin(session, pid)) {
	case SESSION_STRANGER:
	case -ESRCH: /* it is gone: what it held is somebody else's, or nobody's */
		return RELEASE_KIN_NONE;
	case SESSION_INIT:
		return RELEASE_KIN_INIT;
	case SESSION_SELF:
		return RELEASE_KIN_SELF;
	case SESSION_ANCESTOR:
		return RELEASE_KIN_ANCESTOR;
	case SESSION_SAME:
		return RELEASE_KIN_SESSION;
	default:
		return RELEASE_KIN_UNTOLD;
	}
}

/* kin_of() of each process of the census, asked once: 0 not yet, else the kin + 1. */
struct kin_cache {
	const struct release *r;
	uint8_t *kin;
};

static enum release_kin kin_of_held(struct kin_cache *k, const struct census_held *held,
				    uint32_t *pid)
{
	const struct census *c = k->r->census;

	for (uint32_t i = 0; i < held->n; i++) {
		uint32_t p = c->holders[held->first + i].proc;

		if (!k->kin[p])
			k->kin[p] = (uint8_t)(1 + kin_of(k->r->session, c->procs[p].pid));
		if (k->kin[p] != 1 + RELEASE_KIN_NONE) {
			*pid = c->procs[p].pid;
			return k->kin[p] - 1;
		}
	}
	return RELEASE_KIN_NONE;
}

/* The holders', and for a connection not yet accepted those of every listener that may have it. */
static enum release_kin kin_of_socket(struct kin_cache *k, const struct census_socket *s,
				      uint32_t *pid)
{
	enum release_kin kin;

	if (session_is_remote(k->r->session, &s->s.local, &s->s.peer))
		return RELEASE_KIN_SSH;
	kin = kin_of_held(k, &s->held, pid);
	CENSUS_FOR_LISTENERS(i, k->r->census, s)
	if (kin == RELEASE_KIN_NONE)
		kin = kin_of_held(k, &k->r->census->listeners[i].held, pid);
	return kin;
}

static int add_item(struct release *r, struct kin_cache *k, uint32_t socket)
{
	const struct release_named named = { r->filter->states, r->filter->causes };
	const struct census_socket *s = &r->census->sockets[socket];
	struct release_item item = { .socket = socket, .fd = -1, .peer_netns = CENSUS_NONE };
	enum release_kin kin;

	if (r->n == r->cap) {
		uint32_t cap = r->cap ? 2 * r->cap : 64;
		struct release_item *more = realloc(r->items, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		r->items = more;
		r->cap = cap;
	}
	kin = kin_of_socket(k, s, &item.pid);
	item.refusal = (uint8_t)release_judge(s, r->method, &named, kin);
	r->qualified += item.refusal == RELEASE_QUALIFIES;
	r->items[r->n++] = item;
	return 0;
}

int release_plan(struct release *out, const struct census *c, const struct filter *f,
		 const struct session *session, enum release_method method, struct err *e)
{
	struct release r = { .census = c, .filter = f, .session = session, .method = method };
	struct kin_cache k = { &r, calloc(c->procs_n + 1, 1) };
	int err = k.kin ? 0 : -ENOMEM;

	r.diag = malloc((c->netns_n + 1) * sizeof(*r.diag));
	if (!r.diag)
		err = -ENOMEM;
	for (uint32_t i = 0; err == 0 && i < c->netns_n; i++)
		r.diag[i] = NSDIAG_NOT_OPENED;
	for (int or_dead = 0; err == 0 && r.n == 0 && or_dead < 2; or_dead++)
		for (uint32_t i = 0; err == 0 && i < c->sockets_n; i++)
			if (is_meant(f, c, &c->sockets[i], or_dead))
				err = add_item(&r, &k, i);
	free(k.kin);
	if (err < 0) {
		free(r.items);
		free(r.diag);
		return err_set(e, err, "no memory for the plan of a release");
	}
	*out = r;
	return 0;
}

void release_free(struct release *r)
{
	for (uint32_t i = 0; r->diag && i < r->census->netns_n; i++)
		fd_close(r->diag[i]);
	free(r->diag);
	free(r->items);
	*r = (struct release){ 0 };
}

static enum release_result failed(struct release_item *item, int r, const struct err *e)
{
	size_t n = strnlen(e->text, sizeof(item->error) - 1);

	memcpy(item->error, e->text, n);
	item->error[n] = '\0';
	switch (r) {
	case -ENOENT:
	case -ENOTCONN:
		return RELEASE_GONE;
	case -ESTALE:
	case -ESRCH:
	case -EBADF:
	case -ENOTSOCK:
		return RELEASE_CHANGED;
	case -EREMCHG:
		return RELEASE_HIT_OTHER;
	default:
		return RELEASE_FAILED;
	}
}

/* The socket as listed against the socket as found now. */
static int still_meant(const struct release *r, const struct census_socket *s,
		       const struct tcp_sample *now, struct err *e)
{
	int err = holdcopy_compare(&s->s, now, e);

	if (err == 0 && !release_still_old(r->census, s, now, r->filter->older_ms))
		err = err_set(e, -ESTALE, "it is younger than asked for now");
	return err;
}

static int shut_down_from(struct release *r, struct release_item *item,
			  const struct census_socket *s, const struct census_holder *h,
			  struct err *e)
{
	struct tcp_sample now;
	_fd_ int copy = -1;
	int err;

	item->pid = r->census->procs[h->proc].pid;
	item->fd = h->fd;
	if (kin_of(r->session, item->pid) != RELEASE_KIN_NONE)
		return err_set(e, -EPERM, "process %u belongs to this session now", item->pid);
	copy = holdcopy_take(item->pid, h->fd, e);
	if (copy < 0)
		return copy;
	err = holdcopy_ask(copy, &now, e);
	if (err == 0)
		err = still_meant(r, s, &now, e);
	if (err == 0)
		item->ifindex = now.ifindex;
	if (err == 0)
		err = holdcopy_shutdown(copy, now.state, &item->own.after, e);
	return err;
}

/* Any holder's descriptor will do: the first whose copy proves to be the socket. */
static void release_by_shutdown(struct release *r, struct release_item *item)
{
	const struct census_socket *s = &r->census->sockets[item->socket];
	struct err e = { 0 };
	int err = -ESTALE;

	for (uint32_t i = 0; i < s->held.n; i++) {
		err = shut_down_from(r, item, s, &r->census->holders[s->held.first + i], &e);
		if (err == 0 || err == -EREMCHG)
			break;
	}
	item->result = (uint8_t)(err == 0 ? RELEASE_DONE : failed(item, err, &e));
}

static void release_by_reset(struct release *r, struct release_item *item)
{
	const struct census_socket *s = &r->census->sockets[item->socket];
	struct tcp_sample now = { 0 };
	struct err e = { 0 };
	int fd = nsdiag(r->census, r->diag, s->netns, &e), err;

	if (fd < 0) {
		item->result = RELEASE_FAILED;
		failed(item, fd, &e);
		return;
	}
	err = diag_find(fd, &s->s, &now, &e);
	if (err == 0 && now.state == TCPS_GONE)
		err = err_set(&e, -ENOENT, "it is gone");
	if (err == 0)
		err = still_meant(r, s, &now, &e);
	item->ifindex = now.ifindex;
	if (err == 0)
		err = destroy_socket(fd, &now, &e);
	item->result = (uint8_t)(err == 0 ? RELEASE_DONE : failed(item, err, &e));
}

int release_carry_out(struct release *r, release_record_fn *record, bool (*stop)(void), void *arg,
		      struct err *e)
{
	for (uint32_t i = 0; i < r->n; i++) {
		struct release_item *item = &r->items[i];
		int err;

		if (item->refusal != RELEASE_QUALIFIES)
			continue;
		if (stop && stop())
			return err_set(e, -ECANCELED, "interrupted");
		err = record(item, RELEASE_BEFORE, arg, e);
		if (err < 0)
			return err;
		if (r->method == RELEASE_RESET)
			release_by_reset(r, item);
		else
			release_by_shutdown(r, item);
		err = record(item, RELEASE_AFTER, arg, e);
		if (err < 0)
			return err;
	}
	return 0;
}
