/* SPDX-License-Identifier: MIT */
#include "doctor/filter.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/num.h"
#include "base/text.h"
#include "tcp/explain.h"

#define WORD_BYTES 64

/* Cuts the next word off a list with commas. Returns false at its end, or where a word is empty or
 * too long (`*list` is then NULL). */
static bool next_word(const char **list, char word[WORD_BYTES])
{
	size_t n;

	if (!*list || !**list)
		return false;
	n = strcspn(*list, ",");
	if (n == 0 || n >= WORD_BYTES || ((*list)[n] == ',' && !(*list)[n + 1])) {
		*list = NULL;
		return false;
	}
	memcpy(word, *list, n);
	word[n] = '\0';
	*list += n + ((*list)[n] == ',');
	return true;
}

static int no_such(struct err *e, const char *what, const char *word, const char *near,
		   const char *some)
{
	_buf_ struct buf typed = { 0 };

	text_escape(&typed, word, strlen(word), false);
	if (near)
		return err_set(e, -EINVAL, "no %s '%s'; did you mean %s?", what,
			       typed.data ? typed.data : "", near);
	return err_set(e, -EINVAL, "no %s '%s'; say %s", what, typed.data ? typed.data : "", some);
}

static const char *nearest_state(const char *word)
{
	static const char half_closed[] = "half-closed";
	const char *near = explain_nearest(word, EXPLAIN_STATES);

	if (text_distance(word, half_closed) <= 3)
		return half_closed;
	return near && tcp_state_parse(near) <= TCPS_GONE ? NULL : near;
}

static int set_states(struct filter *f, const char *value, struct err *e)
{
	char word[WORD_BYTES];
	unsigned set = 0;

	while (next_word(&value, word)) {
		int state = tcp_state_parse(word);

		if (!strcasecmp(word, "half-closed"))
			set |= TCP_HALF_CLOSED;
		else if (state <= TCPS_GONE)
			return no_such(e, "state", word, nearest_state(word),
				       "CLOSE_WAIT, FIN_WAIT_2, half-closed ...");
		else
			set |= TCP_BIT((unsigned)state);
	}
	if (!value || !set)
		return err_set(e, -EINVAL, "a list of states with commas is wanted");
	f->states |= set;
	return 0;
}

static int set_causes(struct filter *f, const char *value, struct err *e)
{
	char word[WORD_BYTES];
	unsigned set = 0;

	while (next_word(&value, word)) {
		int cause = tcp_cause_parse(word);

		if (cause < 0)
			return no_such(e, "cause", word, explain_nearest(word, EXPLAIN_CAUSES),
				       "unread, drained, dead ...; `unclosed explain` lists all");
		set |= TCP_CAUSE_BIT((unsigned)cause);
	}
	if (!value || !set)
		return err_set(e, -EINVAL, "a list of causes with commas is wanted");
	f->causes |= set;
	return 0;
}

/* Splits "[::1]:80", "10.0.0.1:80", "10.0.0.0/8", "::1" into host and what follows it. */
static int split_peer(const char *value, char host[WORD_BYTES], const char **rest)
{
	const char *end;

	if (*value == '[') {
		value++;
		end = strchr(value, ']');
		*rest = end ? end + 1 : NULL;
	} else {
		const char *colon = strchr(value, ':');
		bool v4_port = colon && !strchr(colon + 1, ':');

		end = value + (v4_port ? strcspn(value, ":/") : strcspn(value, "/"));
		*rest = end;
	}
	if (!end || end - value >= WORD_BYTES)
		return -EINVAL;
	memcpy(host, value, (size_t)(end - value));
	host[end - value] = '\0';
	return 0;
}

static int set_peer(struct filter *f, const char *value, struct err *e)
{
	char host[WORD_BYTES];
	struct tcp_addr a = { 0 };
	const char *rest = NULL;
	uint64_t bits;
	int r = split_peer(value, host, &rest);

	if (r == 0)
		r = tcp_addr_parse_host(&a, host);
	bits = a.family == AF_INET ? 32 : 128;
	if (r == 0 && *rest == '/')
		r = num_u64(rest + 1, 0, bits, &bits);
	else if (r == 0 && *rest == ':') /* 0 would mean any */
		r = num_port(rest + 1, &a.port) < 0 || !a.port ? -EINVAL : 0;
	else if (r == 0 && *rest)
		r = -EINVAL;
	if (r < 0)
		return err_set(e, -EINVAL,
			       "'%s' is no peer; say ADDRESS, ADDRESS/BITS or ADDRESS:PORT", value);
	f->peer = a;
	f->peer_bits = (uint8_t)bits;
	f->has_peer = true;
	return 0;
}

static int set_older(struct filter *f, const char *value, struct err *e)
{
	int64_t ns;

	if (num_duration(value, &ns) < 0)
		return err_set(e, -EINVAL, "'%s' is no duration; say 60s, 5m, 1.5h", value);
	f->older_ms = (uint64_t)(ns / CLOCK_NS_PER_MS);
	f->has_older = true;
	return 0;
}

static int set_pid(struct filter *f, const char *value, struct err *e)
{
	uint64_t pid;

	if (num_u64(value, 1, INT32_MAX, &pid) < 0)
		return err_set(e, -EINVAL, "'%s' is no process id", value);
	f->pid = (uint32_t)pid;
	return 0;
}

static int set_port(struct filter *f, const char *value, struct err *e)
{
	uint16_t port;

	if (num_port(value, &port) < 0 || !port)
		return err_set(e, -EINVAL, "'%s' is no port; say 1 to 65535", value);
	f->port = port;
	return 0;
}

static int set_text(const char **field, const char *value, struct err *e)
{
	if (!*value)
		return err_set(e, -EINVAL, "an empty text means nothing here");
	*field = value;
	return 0;
}

int filter_set(struct filter *f, enum filter_key key, const char *value, struct err *e)
{
	switch (key) {
	case FILTER_STATE:
		return set_states(f, value, e);
	case FILTER_CAUSE:
		return set_causes(f, value, e);
	case FILTER_PID:
		return set_pid(f, value, e);
	case FILTER_COMM:
		return set_text(&f->comm, value, e);
	case FILTER_PORT:
		return set_port(f, value, e);
	case FILTER_PEER:
		return set_peer(f, value, e);
	case FILTER_OLDER:
		return set_older(f, value, e);
	case FILTER_NETNS:
		return set_text(&f->netns, value, e);
	case FILTER_CGROUP:
		return set_text(&f->cgroup, value, e);
	}
	return err_set(e, -EINVAL, "no such filter");
}

static bool bits_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned bytes = bits / 8, rest = bits % 8;

	if (memcmp(a, b, bytes) != 0)
		return false;
	return rest == 0 || (a[bytes] ^ b[bytes]) >> (8 - rest) == 0;
}

/* An IPv4 peer is meant where it stands in its v4-mapped form, too. */
static bool peer_matches(const struct filter *f, const struct tcp_addr *a)
{
	const uint8_t *bytes = a->bytes;

	if (f->peer.port && f->peer.port != a->port)
		return false;
	if (f->peer.family == AF_INET && tcp_addr_is_v4mapped(a))
		bytes += 12;
	else if (f->peer.family != a->family)
		return false;
	return bits_equal(bytes, f->peer.bytes, f->peer_bits);
}

bool filter_match_proc(const struct filter *f, const struct census_proc *p)
{
	if (f->pid && p->pid != f->pid)
		return false;
	if (f->comm && fnmatch(f->comm, p->comm, 0) != 0)
		return false;
	return !f->cgroup || (p->cgroup && strstr(p->cgroup, f->cgroup)) ||
	       strstr(p->container, f->cgroup);
}

static bool held_by_match(const struct filter *f, const struct census *c,
			  const struct census_held *h)
{
	for (uint32_t i = h->first; i < h->first + h->n; i++)
		if (filter_match_proc(f, &c->procs[c->holders[i].proc]))
			return true;
	return false;
}

static bool holder_matches(const struct filter *f, const struct census *c,
			   const struct census_socket *s)
{
	if (!f->pid && !f->comm && !f->cgroup)
		return true;
	if (held_by_match(f, c, &s->held))
		return true;
	CENSUS_FOR_LISTENERS(i, c, s)
	if (held_by_match(f, c, &c->listeners[i].held))
		return true;
	return false;
}

bool filter_match_netns(const struct filter *f, const struct census *c, uint32_t netns)
{
	char ino[24];

	if (!f->netns)
		return true;
	if (netns == CENSUS_NONE)
		return false;
	snprintf(ino, sizeof(ino), "%llu", (unsigned long long)c->netns[netns].ino);
	return !strcmp(f->netns, ino) || !strcmp(f->netns, c->netns[netns].name);
}

bool filter_match_facts(const struct filter *f, const struct census *c,
			const struct census_socket *s)
{
	if (f->states && !(f->states & TCP_BIT(s->s.state)))
		return false;
	if (f->port && f->port != s->s.local.port && f->port != s->s.peer.port)
		return false;
	if (f->has_peer && !peer_matches(f, &s->s.peer))
		return false;
	return filter_match_netns(f, c, s->netns) && holder_matches(f, c, s);
}

bool filter_match(const struct filter *f, const struct census *c, const struct census_socket *s)
{
	if (f->causes && !(f->causes & TCP_CAUSE_BIT(s->v.cause)))
		return false;
	return census_is_older(s, f->older_ms) && filter_match_facts(f, c, s);
}

unsigned filter_states(const struct filter *f)
{
	return f->states;
}
