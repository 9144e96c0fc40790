/* SPDX-License-Identifier: MIT */
#include "kernel/sockets.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "kernel/bpf/sockets.h"
#include "sockets.skel.h"

/* The kernel fills at most 8 pages a read (bpf_seq_read()). */
#define READ_BYTES 32768
/* A stamp of the future was made after the clock was read for its record: at most so long after.
 * Every other difference is an age. */
#define LATE_STAMP_NS 5000000000u

/* Of these, sock_diag has numbers that matter and that a record has not: timers, windows. */
#define NUMBERS_LACK                                                              \
	(TCP_BIT(TCPS_LISTEN) | TCP_BIT(TCPS_FIN_WAIT1) | TCP_BIT(TCPS_CLOSING) | \
	 TCP_BIT(TCPS_LAST_ACK))

_Static_assert((int)SOCKETS_AFTER_FIN_NOTHING == (int)TCP_AFTER_FIN_NOTHING, "after_fin");
_Static_assert((int)SOCKETS_AFTER_FIN_SEGMENTS == (int)TCP_AFTER_FIN_SEGMENTS, "after_fin");

struct sockets {
	struct sockets_bpf *skel;
	struct bpf_link *link, *tally;
};

static int silent(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return 0;
}

void sockets_close(struct sockets *s)
{
	if (!s)
		return;
	bpf_link__destroy(s->link);
	bpf_link__destroy(s->tally);
	sockets_bpf__destroy(s->skel);
	free(s);
}

static int load(struct sockets *s)
{
	s->skel = sockets_bpf__open();
	if (!s->skel)
		return -errno;
	if (sockets_bpf__load(s->skel) < 0)
		return -errno;
	s->link = bpf_program__attach_iter(s->skel->progs.descriptors, NULL);
	s->tally = bpf_program__attach_iter(s->skel->progs.connections, NULL);
	return s->link && s->tally ? 0 : -errno;
}

int sockets_open(struct sockets **out, struct err *e)
{
	libbpf_print_fn_t before = libbpf_set_print(silent);
	struct sockets *s = calloc(1, sizeof(*s));
	int r = s ? load(s) : -ENOMEM;

	libbpf_set_print(before);
	if (r == 0) {
		*out = s;
		return 0;
	}
	sockets_close(s);
	if (r == -EPERM || r == -EACCES)
		return err_set(e, r, "BPF needs CAP_BPF and CAP_PERFMON");
	return err_errno(e, r, "loading the BPF descriptor iterator");
}

/* The counter has 32 bits: what is older than that reads as younger (docs/KERNEL.md). */
static uint32_t ticks_to_ms(uint32_t ticks, uint32_t tick)
{
	uint64_t ms;

	if ((uint64_t)(0u - ticks) * tick < LATE_STAMP_NS)
		return 0;
	ms = (uint64_t)ticks * tick / 1000000;
	return ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

static void decode_numbers(const struct sockets_record *r, uint32_t tick, struct tcp_sample *s)
{
	s->has_info = !(TCP_BIT(r->state) & NUMBERS_LACK);
	s->has_shutdown = true;
	s->shutdown = r->shutdown;
	s->after_fin = r->after_fin;
	s->error = r->error;
	s->recv_q = r->recv_q;
	s->send_q = r->send_q;
	s->last_data_sent_ms = ticks_to_ms(r->sent_ticks, tick);
	s->last_data_recv_ms = ticks_to_ms(r->received_ticks, tick);
	s->last_ack_recv_ms = ticks_to_ms(r->ack_ticks, tick);
	s->bytes_acked = r->bytes_acked;
	s->bytes_received = r->bytes_received;
	s->bytes_sent = r->bytes_sent;
	s->segs_in = r->segs_in;
	if (r->state == TCPS_CLOSE)
		s->dead_ms = r->quiet_ms ? r->quiet_ms : 1; /* 0 would be: unknown */
	else
		s->rtt_ms = r->rtt_us / 1000;
}

int sockets_decode(const void *data, size_t len, uint32_t tick, struct sockets_found *out)
{
	struct sockets_found f = { 0 };
	struct sockets_record r;

	if (len < sizeof(r))
		return -EBADMSG;
	memcpy(&r, data, sizeof(r));
	if (r.kind != SOCKETS_TCP && r.kind != SOCKETS_MPTCP)
		return -EBADMSG;
	if (r.kind == SOCKETS_TCP &&
	    ((r.family != AF_INET && r.family != AF_INET6) || r.state == 0 ||
	     r.state >= TCPS_COUNT || r.after_fin > SOCKETS_AFTER_FIN_SEGMENTS))
		return -EBADMSG;
	f.pid = r.pid;
	f.fd = (int32_t)r.fd;
	memcpy(f.comm, r.comm, sizeof(f.comm) - 1);
	f.s.netns = r.netns;
	f.s.inode = r.inode;
	f.is_mptcp = r.kind == SOCKETS_MPTCP;
	if (!f.is_mptcp) {
		f.s.state = r.state == TCPS_NEW_SYN_RECV ? TCPS_SYN_RECV : r.state;
		f.s.cookie = r.cookie;
		f.s.ifindex = r.bound ? TCP_BOUND_SOMEWHERE : 0;
		f.s.local.family = f.s.peer.family = r.family;
		f.s.local.port = r.local_port;
		f.s.peer.port = r.peer_port;
		memcpy(f.s.local.bytes, r.local, r.family == AF_INET ? 4 : 16);
		memcpy(f.s.peer.bytes, r.peer, r.family == AF_INET ? 4 : 16);
		decode_numbers(&r, tick, &f.s);
	}
	*out = f;
	return sizeof(r);
}

/* Hands on the whole records of `space`; returns how many bytes they took. */
static int hand_on(const char *space, size_t len, uint32_t tick, sockets_each_fn *each, void *arg,
		   size_t *used)
{
	struct sockets_found f;

	*used = 0;
	while (len - *used >= sizeof(struct sockets_record)) {
		int n = sockets_decode(space + *used, len - *used, tick, &f);
		int r = n < 0 ? n : each(&f, arg);

		if (r)
			return r;
		*used += (size_t)n;
	}
	return 0;
}

int sockets_pass(struct sockets *s, unsigned states, sockets_each_fn *each, void *arg,
		 struct err *e)
{
	_fd_ int fd = -1;
	char space[READ_BYTES + sizeof(struct sockets_record)];
	uint32_t tick = clock_tick_ns();
	size_t kept = 0, used;
	int r;

	s->skel->bss->wanted = states;
	fd = bpf_iter_create(bpf_link__fd(s->link));
	if (fd < 0)
		return err_errno(e, -errno, "starting the BPF descriptor iterator");
	for (;;) {
		ssize_t n = read(fd, space + kept, READ_BYTES);

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return err_errno(e, -errno, "reading the BPF descriptor iterator");
		if (n == 0)
			break;
		r = hand_on(space, kept + (size_t)n, tick, each, arg, &used);
		if (r == -EBADMSG)
			return err_errno(e, r, "reading a record of the BPF descriptor iterator");
		if (r)
			return r;
		kept += (size_t)n - used;
		memmove(space, space + used, kept);
	}
	if (kept)
		return err_set(e, -EBADMSG, "the BPF descriptor iterator ended within a record");
	return 0;
}

void sockets_count(struct sockets_count *c, const struct tcp_sample *s)
{
	c->n++;
	c->sum += SOCKETS_TALLY_MIX(s->cookie);
}

int sockets_tally(struct sockets *s, unsigned others, struct sockets_count *out, uint64_t *others_n,
		  struct err *e)
{
	_fd_ int fd = -1;
	char space[256];
	ssize_t n;

	s->skel->bss->tally = (struct sockets_tally){ .states = others };
	fd = bpf_iter_create(bpf_link__fd(s->tally));
	if (fd < 0)
		return err_errno(e, -errno, "starting the BPF connection iterator");
	do {
		n = read(fd, space, sizeof(space));
	} while (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)));
	if (n < 0)
		return err_errno(e, -errno, "reading the BPF connection iterator");
	out->n = s->skel->bss->tally.n;
	out->sum = s->skel->bss->tally.sum;
	*others_n = s->skel->bss->tally.others;
	return 0;
}
