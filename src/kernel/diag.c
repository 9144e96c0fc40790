/* SPDX-License-Identifier: MIT */
#include "kernel/diag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "kernel/tcpinfo.h"

/* The kernel fills at most one such buffer a recv (netlink_dump(): 32 KiB when the reader offers
 * it). */
#define DIAG_RECV_BYTES 32768
/* No answer within this means a kernel that does not answer; a look-up takes microseconds. */
#define DIAG_TIMEOUT_S 5

int diag_open(struct err *e)
{
	struct timeval limit = { .tv_sec = DIAG_TIMEOUT_S };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	if (fd < 0)
		return err_errno(e, -errno, "opening a sock_diag socket");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0) {
		int r = err_errno(e, -errno, "setting SO_RCVTIMEO on a sock_diag socket");

		close(fd);
		return r;
	}
	return fd;
}

static uint32_t capped_u32(uint64_t v)
{
	return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

static void decode_addr(struct tcp_addr *a, int family, const __be32 bytes[4], __be16 port)
{
	*a = (struct tcp_addr){ .family = (uint8_t)family, .port = ntohs(port) };
	memcpy(a->bytes, bytes, family == AF_INET ? 4 : 16);
}

/* The upper layer protocol's name: "mptcp" on a subflow, "tls" elsewhere. */
static bool ulp_is_mptcp(const struct nlattr *nest)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested (attr, nest) {
		if (mnl_attr_get_type(attr) == INET_ULP_INFO_NAME)
			return mnl_attr_get_payload_len(attr) >= 5 &&
			       !memcmp(mnl_attr_get_payload(attr), "mptcp", 5);
	}
	return false;
}

static int decode_attr(const struct nlattr *attr, void *arg)
{
	struct tcp_sample *s = arg;

	switch (mnl_attr_get_type(attr)) {
	case INET_DIAG_INFO:
		tcpinfo_decode(mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr), s);
		break;
	case INET_DIAG_SHUTDOWN:
		if (mnl_attr_get_payload_len(attr) >= 1) {
			s->shutdown = mnl_attr_get_u8(attr);
			s->has_shutdown = true;
		}
		break;
	case INET_DIAG_ULP_INFO:
		s->mptcp = ulp_is_mptcp(attr) ? TCP_MPTCP_SUBFLOW : TCP_MPTCP_NOT;
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

/* The head of struct mptcp_info of include/uapi/linux/mptcp.h, which older headers have in part. */
struct mptcp_numbers {
	uint8_t counts[8];
	uint32_t flags, token;
	uint64_t write_seq, snd_una, rcv_nxt;
	uint8_t addresses[4];
	uint32_t retransmits;
	uint64_t bytes_retrans, bytes_sent, bytes_received, bytes_acked;
	uint8_t subflows_total, reserved[3];
	uint32_t last_data_sent, last_data_recv, last_ack_recv; /* since Linux 6.10 */
};
_Static_assert(sizeof(struct mptcp_numbers) == 96, "struct mptcp_info");

static int decode_mptcp_attr(const struct nlattr *attr, void *arg)
{
	struct tcp_sample *s = arg;
	struct mptcp_numbers n;

	if (mnl_attr_get_type(attr) != INET_DIAG_INFO || mnl_attr_get_payload_len(attr) < sizeof(n))
		return MNL_CB_OK;
	memcpy(&n, mnl_attr_get_payload(attr), sizeof(n));
	s->has_info = true;
	s->bytes_sent = n.bytes_sent;
	s->bytes_received = n.bytes_received;
	s->bytes_acked = n.bytes_acked;
	s->last_data_sent_ms = n.last_data_sent;
	s->last_data_recv_ms = n.last_data_recv;
	s->last_ack_recv_ms = n.last_ack_recv;
	return MNL_CB_OK;
}

bool diag_is_whole(const struct nlmsghdr *nlh, size_t len)
{
	return len >= sizeof(*nlh) && nlh->nlmsg_len >= sizeof(*nlh) && nlh->nlmsg_len <= len;
}

/* Both begin with the kernel's -errno: of a request that it refuses, or of a dump that it broke off
 * (netlink_dump_done()), which else ends in 0. */
static int decode_status(const struct nlmsghdr *nlh)
{
	const int *error = mnl_nlmsg_get_payload(nlh);

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*error))
		return -EBADMSG;
	if (*error == 0 && nlh->nlmsg_type == NLMSG_DONE)
		return 0;
	return *error < 0 && *error >= -4095 ? *error : -EBADMSG;
}

static int decode(const void *msg, size_t len, mnl_attr_cb_t each_attr, struct tcp_sample *out)
{
	const struct nlmsghdr *nlh = msg;
	const struct inet_diag_msg *d;
	struct tcp_sample s = { 0 };

	if (!diag_is_whole(nlh, len))
		return -EBADMSG;
	if (nlh->nlmsg_type == NLMSG_DONE && mnl_nlmsg_get_payload_len(nlh) < sizeof(int))
		return 0;
	if (nlh->nlmsg_type == NLMSG_DONE || nlh->nlmsg_type == NLMSG_ERROR)
		return decode_status(nlh);
	if (nlh->nlmsg_type != SOCK_DIAG_BY_FAMILY && nlh->nlmsg_type != TCPDIAG_GETSOCK)
		return -EBADMSG;
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*d))
		return -EBADMSG;
	d = mnl_nlmsg_get_payload(nlh);
	if (d->idiag_family != AF_INET && d->idiag_family != AF_INET6)
		return -EBADMSG;
	if (d->idiag_state == 0 || d->idiag_state >= TCPS_COUNT)
		return -EBADMSG;
	decode_addr(&s.local, d->idiag_family, d->id.idiag_src, d->id.idiag_sport);
	decode_addr(&s.peer, d->idiag_family, d->id.idiag_dst, d->id.idiag_dport);
	s.state = d->idiag_state == TCPS_NEW_SYN_RECV ? TCPS_SYN_RECV : d->idiag_state;
	s.timer = d->idiag_timer;
	s.timer_ms = d->idiag_timer ? d->idiag_expires : 0;
	s.retransmits = d->idiag_retrans;
	s.recv_q = capped_u32(d->idiag_rqueue);
	s.send_q = capped_u32(d->idiag_wqueue);
	s.uid = d->idiag_uid;
	s.ifindex = d->id.idiag_if;
	s.inode = d->idiag_inode;
	s.cookie = (uint64_t)d->id.idiag_cookie[1] << 32 | d->id.idiag_cookie[0];
	if (mnl_attr_parse(nlh, sizeof(*d), each_attr, &s) < 0)
		return -EBADMSG;
	*out = s;
	return 1;
}

int diag_decode(const void *msg, size_t len, struct tcp_sample *out)
{
	return decode(msg, len, decode_attr, out);
}

int diag_decode_mptcp(const void *msg, size_t len, struct tcp_sample *out)
{
	int r = decode(msg, len, decode_mptcp_attr, out);

	if (r == 1)
		out->mptcp = TCP_MPTCP_CONNECTION;
	return r;
}

static int send_request(int fd, uint16_t type, uint16_t flags, uint32_t seq, const void *req,
			size_t len)
{
	char space[256] __attribute__((aligned(4)));
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(space);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = seq;
	memcpy(mnl_nlmsg_put_extra_header(nlh, len), req, len);
	if (sendto(fd, nlh, nlh->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	return 0;
}

/* Any process with CAP_NET_ADMIN can send to a netlink socket too. */
ssize_t diag_receive(int fd, void *space, size_t cap)
{
	struct sockaddr_nl from = { 0 };
	socklen_t len;
	ssize_t n;

	do {
		len = sizeof(from);
		n = recvfrom(fd, space, cap, MSG_TRUNC, (struct sockaddr *)&from, &len);
	} while ((n < 0 && errno == EINTR) ||
		 (n >= 0 && len == sizeof(from) && from.nl_family == AF_NETLINK && from.nl_pid));
	if (n < 0)
		return -errno;
	return (size_t)n > cap ? -EMSGSIZE : n;
}

int diag_lookup_bound(int fd, uint32_t ifindex, const struct tcp_addr *local,
		      const struct tcp_addr *peer, struct tcp_sample *out, struct err *e)
{
	static uint32_t seq;
	struct inet_diag_req_v2 req = {
		.sdiag_family = local->family,
		.sdiag_protocol = IPPROTO_TCP,
		.idiag_ext = 1 << (INET_DIAG_INFO - 1),
		.idiag_states = ~0u,
		.id = { .idiag_sport = htons(local->port),
			.idiag_dport = htons(peer->port),
			.idiag_if = ifindex,
			.idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } },
	};
	char space[2048] __attribute__((aligned(4)));
	struct tcp_sample s = { 0 };
	struct nlmsghdr *nlh = (struct nlmsghdr *)space;
	ssize_t n;
	int r;

	memcpy(req.id.idiag_src, local->bytes, sizeof(req.id.idiag_src));
	memcpy(req.id.idiag_dst, peer->bytes, sizeof(req.id.idiag_dst));
	r = send_request(fd, SOCK_DIAG_BY_FAMILY, 0, ++seq, &req, sizeof(req));
	if (r < 0)
		return err_errno(e, r, "asking sock_diag for a connection");
	do { /* an answer to an earlier question that timed out is passed over */
		n = diag_receive(fd, space, sizeof(space));
		if (n < 0)
			return err_errno(e, (int)n, "waiting for sock_diag's answer");
	} while ((size_t)n >= sizeof(*nlh) && nlh->nlmsg_seq != seq);
	r = diag_decode(space, (size_t)n, &s);
	if (r == -ENOENT || (r == 1 && s.state == TCPS_LISTEN)) {
		*out = (struct tcp_sample){ .local = *local, .peer = *peer, .state = TCPS_GONE };
		return 0;
	}
	if (r < 0)
		return err_errno(e, r, "sock_diag's answer about a connection");
	if (r == 0)
		return err_set(e, -EBADMSG, "sock_diag ended a dump that was not asked for");
	*out = s;
	return 0;
}

int diag_lookup(int fd, const struct tcp_addr *local, const struct tcp_addr *peer,
		struct tcp_sample *out, struct err *e)
{
	return diag_lookup_bound(fd, 0, local, peer, out, e);
}

struct dump {
	uint32_t seq;
	bool done, changed;
	int (*decode)(const void *msg, size_t len, struct tcp_sample *out);
	diag_each_fn *each;
	void *arg;
};

/* Walks the messages of one received block. Returns as diag_dump(), with `done` set at the end. */
static int dump_block(struct dump *d, const char *space, int len, struct err *e)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)space;

	for (; len > 0 && diag_is_whole(nlh, (size_t)len); nlh = mnl_nlmsg_next(nlh, &len)) {
		struct tcp_sample s;
		int r;

		if (nlh->nlmsg_seq != d->seq)
			continue;
		d->changed |= nlh->nlmsg_flags & NLM_F_DUMP_INTR;
		r = d->decode(nlh, nlh->nlmsg_len, &s);
		if (r == 0) {
			d->done = true;
			return 0;
		}
		if (r < 0)
			return err_errno(e, r, "reading a sock_diag dump");
		r = d->each(&s, d->arg);
		if (r)
			return r;
	}
	if (len > 0)
		return err_set(e, -EBADMSG, "a sock_diag dump was cut short by %d bytes", len);
	return 0;
}

static int ask_for_dump(int fd, int family, unsigned states, bool info, uint32_t seq)
{
	uint8_t ext = info ? 1 << (INET_DIAG_INFO - 1) : 0;
	struct inet_diag_req_v2 req = {
		.sdiag_family = (uint8_t)family,
		.sdiag_protocol = IPPROTO_TCP,
		.idiag_ext = ext,
		.idiag_states = states,
	};
	struct inet_diag_req old = {
		.idiag_family = AF_INET,
		.idiag_ext = ext,
		.idiag_states = states,
	};

	if (family != AF_UNSPEC)
		return send_request(fd, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, seq, &req, sizeof(req));
	return send_request(fd, TCPDIAG_GETSOCK, NLM_F_DUMP, seq, &old, sizeof(old));
}

static uint32_t next_seq(void)
{
	static uint32_t seq = 1u << 31;

	return ++seq;
}

/* Receives what was asked for, to its end. */
static int receive_dump(int fd, struct dump *d, struct err *e)
{
	char *space = malloc(DIAG_RECV_BYTES);
	int r = 0;

	if (!space)
		return err_set(e, -ENOMEM, "no memory for a sock_diag dump");
	while (r == 0 && !d->done) {
		ssize_t n = diag_receive(fd, space, DIAG_RECV_BYTES);

		if (n < 0)
			r = err_errno(e, (int)n, "waiting for a sock_diag dump");
		else
			r = dump_block(d, space, (int)n, e);
	}
	free(space);
	if (r == 0 && d->changed)
		return err_set(e, -EINTR, "sockets changed while sock_diag listed them");
	return r;
}

int diag_dump_as(int fd, int family, unsigned states, bool info, diag_each_fn *each, void *arg,
		 struct err *e)
{
	struct dump d = { .seq = next_seq(), .decode = diag_decode, .each = each, .arg = arg };
	int r = ask_for_dump(fd, family, states, info, d.seq);

	return r < 0 ? err_errno(e, r, "asking sock_diag for a dump") : receive_dump(fd, &d, e);
}

/* MPTCP's number does not fit into sdiag_protocol: the attribute overrides it. A kernel that does
 * not know the attribute has nothing under the number of raw sockets here, and says so. */
static int ask_for_mptcp(int fd, int family, unsigned states, uint32_t seq)
{
	struct {
		struct inet_diag_req_v2 req;
		struct nlattr attr;
		uint32_t protocol;
	} ask = {
		.req = { .sdiag_family = (uint8_t)family,
			 .sdiag_protocol = IPPROTO_RAW,
			 .idiag_ext = 1 << (INET_DIAG_INFO - 1),
			 .idiag_states = states },
		.attr = { .nla_len = sizeof(ask.attr) + sizeof(ask.protocol),
			  .nla_type = INET_DIAG_REQ_PROTOCOL },
		.protocol = IPPROTO_MPTCP,
	};

	return send_request(fd, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, seq, &ask, sizeof(ask));
}

int diag_dump_mptcp(int fd, unsigned states, diag_each_fn *each, void *arg, struct err *e)
{
	static const int families[] = { AF_INET, AF_INET6 };
	int r = 0;

	for (size_t i = 0; i < 2 && r == 0; i++) {
		struct dump d = { next_seq(), .decode = diag_decode_mptcp, .each = each,
				  .arg = arg };

		r = ask_for_mptcp(fd, families[i], states, d.seq);
		r = r < 0 ? err_errno(e, r, "asking sock_diag for Multipath TCP")
			  : receive_dump(fd, &d, e);
	}
	return r == -ENOENT ? 0 : r;
}

static int find_cookie(const struct tcp_sample *s, void *arg)
{
	struct tcp_sample *wanted = arg;

	if (s->cookie == wanted->cookie)
		*wanted = *s;
	return 0; /* a dump that is not read to its end is in the way of the next */
}

int diag_find(int fd, const struct tcp_sample *then, struct tcp_sample *out, struct err *e)
{
	struct tcp_sample now = { 0 };
	int r = diag_lookup_bound(fd, then->ifindex, &then->local, &then->peer, &now, e);

	if (r == 0 && now.cookie != then->cookie && then->cookie &&
	    then->ifindex == TCP_BOUND_SOMEWHERE) {
		now = (struct tcp_sample){ .local = then->local,
					   .peer = then->peer,
					   .state = TCPS_GONE,
					   .cookie = then->cookie };
		r = diag_dump_as(fd, then->local.family, TCP_BIT(then->state), true, find_cookie,
				 &now, e);
		if (now.state == TCPS_GONE)
			now.cookie = 0;
	}
	if (r == 0)
		*out = now;
	return r;
}

int diag_dump(int fd, int family, unsigned states, diag_each_fn *each, void *arg, struct err *e)
{
	return diag_dump_as(fd, family, states, true, each, arg, e);
}
