/* SPDX-License-Identifier: MIT */
#include "kernel/destroy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "kernel/diag.h"

int destroy_decode(const void *msg, size_t len, uint32_t seq, int *result)
{
	const struct nlmsghdr *nlh = msg;
	const struct nlmsgerr *answer;

	/* mnl_nlmsg_ok() takes a length of the message past 2^31 for a negative one. */
	if (len > INT32_MAX || !mnl_nlmsg_ok(nlh, (int)len) || nlh->nlmsg_len > len)
		return -EBADMSG;
	if (nlh->nlmsg_seq != seq)
		return 0;
	if (nlh->nlmsg_type != NLMSG_ERROR ||
	    mnl_nlmsg_get_payload_len(nlh) < sizeof(answer->error))
		return -EBADMSG;
	answer = mnl_nlmsg_get_payload(nlh);
	if (answer->error > 0 || answer->error < -4095)
		return -EBADMSG;
	*result = answer->error;
	return 1;
}

static int send_request(int fd, const struct tcp_sample *s, uint32_t seq)
{
	char space[MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct inet_diag_req_v2))]
		__attribute__((aligned(4)));
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(space);
	struct inet_diag_req_v2 *req;

	nlh->nlmsg_type = SOCK_DESTROY;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	nlh->nlmsg_seq = seq;
	req = mnl_nlmsg_put_extra_header(nlh, sizeof(*req));
	req->sdiag_family = s->local.family;
	req->sdiag_protocol = IPPROTO_TCP;
	req->idiag_states = ~0u;
	req->id.idiag_sport = htons(s->local.port);
	req->id.idiag_dport = htons(s->peer.port);
	req->id.idiag_if = s->ifindex;
	memcpy(req->id.idiag_src, s->local.bytes, sizeof(req->id.idiag_src));
	memcpy(req->id.idiag_dst, s->peer.bytes, sizeof(req->id.idiag_dst));
	req->id.idiag_cookie[0] = (uint32_t)s->cookie;
	req->id.idiag_cookie[1] = (uint32_t)(s->cookie >> 32);
	if (sendto(fd, nlh, nlh->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	return 0;
}

static int explain(struct err *e, int r, const struct tcp_sample *s)
{
	char local[TCP_ADDR_TEXT], peer[TCP_ADDR_TEXT];

	tcp_addr_text(&s->local, local);
	tcp_addr_text(&s->peer, peer);
	if (r == -ENOENT)
		return err_set(e, r, "%s to %s: this socket is gone", local, peer);
	if (r == -EPERM)
		return err_set(e, r,
			       "%s to %s: the kernel refuses to destroy it: CAP_NET_ADMIN over its "
			       "network namespace is needed",
			       local, peer);
	if (r == -EOPNOTSUPP)
		return err_set(e, r,
			       "%s to %s: this kernel cannot destroy sockets: it was built without "
			       "CONFIG_INET_DIAG_DESTROY",
			       local, peer);
	return err_errno(e, r, "destroying %s to %s", local, peer);
}

int destroy_socket(int diag_fd, const struct tcp_sample *s, struct err *e)
{
	static uint32_t seq = 3u << 30;
	char space[1024] __attribute__((aligned(4)));
	int r, result = 0;

	if (!s->cookie || s->state == TCPS_LISTEN || !s->peer.port)
		return err_set(e, -EINVAL, "a socket without %s is not destroyed",
			       s->cookie ? "a peer" : "a cookie");
	r = send_request(diag_fd, s, ++seq);
	if (r < 0)
		return err_errno(e, r, "asking sock_diag to destroy a socket");
	do {
		ssize_t n = diag_receive(diag_fd, space, sizeof(space));

		if (n < 0)
			return err_errno(e, (int)n, "waiting for sock_diag's answer");
		r = destroy_decode(space, (size_t)n, seq, &result);
	} while (r == 0);
	if (r < 0)
		return err_errno(e, r, "sock_diag's answer about a destroyed socket");
	return result == 0 ? 0 : explain(e, result, s);
}
