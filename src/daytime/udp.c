/* SPDX-License-Identifier: MIT */
#include "daytime/udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define DATAGRAMS_AT_ONCE 64
#define LOOPBACK_IFINDEX  1 /* in every network namespace: include/net/flow.h */
#define PORTS_WELL_KNOWN  1024

static bool is_v4(const struct in6_addr *a)
{
	return IN6_IS_ADDR_V4MAPPED(a);
}

static uint32_t v4(const struct in6_addr *a)
{
	uint32_t net;

	memcpy(&net, &a->s6_addr[12], sizeof(net));
	return ntohl(net);
}

/* Whether the address can be one host's: no multicast, no broadcast, not unspecified. The broadcast
 * address of a subnet is the kernel's to know: sending to one fails without SO_BROADCAST, and
 * sending from one always; where a datagram went to one, endpoints() is told. */
static bool is_one_host(const struct in6_addr *a)
{
	if (is_v4(a))
		return v4(a) >> 24 != 0 && v4(a) >> 28 < 14; /* 0/8; 224/4 and 240/4 */
	return !IN6_IS_ADDR_MULTICAST(a) && !IN6_IS_ADDR_UNSPECIFIED(a);
}

static bool is_loopback(const struct in6_addr *a)
{
	return is_v4(a) ? v4(a) >> 24 == 127 : IN6_IS_ADDR_LOOPBACK(a);
}

bool udp_may_answer(const struct sockaddr_in6 *from, const struct in6_addr *to, uint16_t port,
		    bool loopback)
{
	uint16_t from_port = ntohs(from->sin6_port);

	if (from_port < PORTS_WELL_KNOWN)
		return false;
	if (!is_one_host(&from->sin6_addr) || !is_one_host(to))
		return false;
	if (loopback) /* a client on this host; but not this service on any of its addresses */
		return from_port != port;
	return !is_loopback(&from->sin6_addr) && !IN6_ARE_ADDR_EQUAL(&from->sin6_addr, to);
}

/* An IPv4 address as IPv6 has it. */
static struct in6_addr mapped(uint32_t net)
{
	struct in6_addr a = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

	memcpy(&a.s6_addr[12], &net, sizeof(net));
	return a;
}

/* Where a datagram came from and to, whichever family the socket has. False where the kernel did
 * not say, or says that it went to a broadcast address. */
static bool endpoints(const struct msghdr *m, struct sockaddr_in6 *from, struct in6_addr *to,
		      unsigned *ifindex)
{
	struct sockaddr_in in;
	struct in6_pktinfo six;
	struct in_pktinfo four;

	memcpy(from, m->msg_name, sizeof(*from));
	if (from->sin6_family == AF_INET) {
		memcpy(&in, m->msg_name, sizeof(in));
		*from = (struct sockaddr_in6){ .sin6_family = AF_INET6,
					       .sin6_port = in.sin_port,
					       .sin6_addr = mapped(in.sin_addr.s_addr) };
	}
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR((struct msghdr *)m, c)) {
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			memcpy(&six, CMSG_DATA(c), sizeof(six));
			*to = six.ipi6_addr;
			*ifindex = six.ipi6_ifindex;
			return true;
		}
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			memcpy(&four, CMSG_DATA(c), sizeof(four));
			*to = mapped(four.ipi_addr.s_addr);
			*ifindex = (unsigned)four.ipi_ifindex;
			/* The address to answer from is another for broadcasts only (the kernel's
			 * fib_compute_spec_dst()), and none before the socket asked for it. */
			return four.ipi_spec_dst.s_addr == four.ipi_addr.s_addr;
		}
	}
	return false;
}

/* Whether this datagram is answered; counts why not. */
static bool admit(struct udp *u, const struct msghdr *m, int64_t now, struct counters *count)
{
	struct sockaddr_in6 from;
	struct in6_addr to;
	unsigned ifindex = 0;

	if (!endpoints(m, &from, &to, &ifindex) ||
	    !udp_may_answer(&from, &to, u->port, ifindex == LOOPBACK_IFINDEX)) {
		count->udp_refused_address++;
		return false;
	}
	if (!rates_pass(&u->sources, &u->per_source, source_key(&from), now)) {
		count->udp_refused_source++;
		return false;
	}
	if (!rate_pass(&u->all, now, &u->all_next)) {
		count->udp_refused_all++;
		return false;
	}
	return true;
}

void udp_serve(struct udp *u, const char *text, size_t len, int64_t now, struct counters *count)
{
	for (int n = 0; n < DATAGRAMS_AT_ONCE; n++) {
		struct sockaddr_in6 peer;
		char byte, control[128] __attribute__((aligned(8)));
		struct iovec iov = { .iov_base = &byte, .iov_len = sizeof(byte) };
		struct msghdr m = { .msg_name = &peer,
				    .msg_namelen = sizeof(peer),
				    .msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = control,
				    .msg_controllen = sizeof(control) };

		if (recvmsg(u->fd, &m, MSG_DONTWAIT) < 0) {
			if (errno == EAGAIN)
				return;
			continue; /* no datagram was taken, so that there is none to count */
		}
		count->udp_received++;
		if (!admit(u, &m, now, count))
			continue;
		/* The control message that came in names the address to answer from, too. */
		iov = (struct iovec){ .iov_base = (char *)text, .iov_len = len };
		if (sendmsg(u->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len)
			count->udp_replied++;
		else
			count->udp_unsent++;
	}
}
