/* SPDX-License-Identifier: MIT */
#include "kernel/link.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/ethtool.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "kernel/diag.h"

#define REQUEST_BYTES    1024
#define ANSWER_TIMEOUT_S 5

int link_open(struct err *e)
{
	struct timeval limit = { .tv_sec = ANSWER_TIMEOUT_S };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return err_errno(e, -errno, "opening an rtnetlink socket");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0) {
		int r = err_errno(e, -errno, "setting SO_RCVTIMEO on an rtnetlink socket");

		close(fd);
		return r;
	}
	return fd;
}

/* A request under construction. */
struct ask {
	char space[REQUEST_BYTES] __attribute__((aligned(4)));
	struct nlmsghdr *nlh;
};

/* Returns the zeroed body, `body` bytes, that follows the header. */
static void *begin(struct ask *a, uint16_t type, uint16_t flags, size_t body)
{
	a->nlh = mnl_nlmsg_put_header(a->space);
	a->nlh->nlmsg_type = type;
	a->nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	return mnl_nlmsg_put_extra_header(a->nlh, body);
}

/* Sends it and receives the kernel's answer to it, one whole message. Returns 0 or -errno. */
static int exchange(int rtnl, struct ask *a, void *answer, size_t cap)
{
	static uint32_t seq;
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct nlmsghdr *got = answer;
	ssize_t n;

	a->nlh->nlmsg_seq = ++seq;
	if (sendto(rtnl, a->nlh, a->nlh->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) <
	    0)
		return -errno;
	do { /* an answer to an earlier request that timed out is passed over */
		n = diag_receive(rtnl, answer, cap);
		if (n < 0)
			return (int)n;
		if (!diag_is_whole(got, (size_t)n))
			return -EBADMSG;
	} while (got->nlmsg_seq != seq);
	return 0;
}

/* Waits for the kernel's acknowledgement. Returns 0 or -errno. */
static int request(int rtnl, struct ask *a)
{
	char answer[4096] __attribute__((aligned(4))) = { 0 };
	const struct nlmsghdr *got = (struct nlmsghdr *)answer;
	const struct nlmsgerr *err;
	int r;

	a->nlh->nlmsg_flags |= NLM_F_ACK;
	r = exchange(rtnl, a, answer, sizeof(answer));
	if (r < 0)
		return r;
	err = mnl_nlmsg_get_payload(got);
	if (got->nlmsg_type != NLMSG_ERROR || mnl_nlmsg_get_payload_len(got) < sizeof(err->error))
		return -EBADMSG;
	return err->error;
}

int link_index(int inet, const char *name, struct err *e)
{
	struct ifreq ifr = { 0 };

	strncpy(ifr.ifr_name, name, sizeof(ifr.ifr_name) - 1);
	if (ioctl(inet, SIOCGIFINDEX, &ifr) < 0)
		return err_errno(e, -errno, "looking up interface %s", name);
	return ifr.ifr_ifindex;
}

static void put_end(struct nlmsghdr *nlh, const struct link_end *end)
{
	mnl_attr_put_strz(nlh, IFLA_IFNAME, end->name);
	mnl_attr_put(nlh, IFLA_ADDRESS, LINK_MAC_BYTES, end->mac);
	if (end->netns >= 0)
		mnl_attr_put_u32(nlh, IFLA_NET_NS_FD, (uint32_t)end->netns);
}

int link_make_veth(int rtnl, const struct link_end *a, const struct link_end *b, struct err *e)
{
	struct nlattr *info, *data, *peer;
	struct ask ask;
	int r;

	begin(&ask, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
	put_end(ask.nlh, a);
	info = mnl_attr_nest_start(ask.nlh, IFLA_LINKINFO);
	mnl_attr_put_str(ask.nlh, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(ask.nlh, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(ask.nlh, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(ask.nlh, sizeof(struct ifinfomsg));
	put_end(ask.nlh, b);
	mnl_attr_nest_end(ask.nlh, peer);
	mnl_attr_nest_end(ask.nlh, data);
	mnl_attr_nest_end(ask.nlh, info);
	r = request(rtnl, &ask);
	return r < 0 ? err_errno(e, r, "making the veth pair %s-%s", a->name, b->name) : 0;
}

/* rtnetlink finds an interface by IFLA_IFNAME where the index is 0, but addresses and neighbours
 * need the index: it is asked for here, in the rtnetlink socket's own namespace. */
static int index_of(int rtnl, const char *name, struct err *e)
{
	char answer[8192] __attribute__((aligned(4))) = { 0 };
	const struct nlmsghdr *got = (struct nlmsghdr *)answer;
	struct ask ask;
	int r;

	begin(&ask, RTM_GETLINK, 0, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(ask.nlh, IFLA_IFNAME, name);
	r = exchange(rtnl, &ask, answer, sizeof(answer));
	if (r == 0 && (got->nlmsg_type != RTM_NEWLINK ||
		       mnl_nlmsg_get_payload_len(got) < sizeof(struct ifinfomsg)))
		r = -ENODEV;
	if (r < 0)
		return err_errno(e, r, "looking up interface %s", name);
	return ((const struct ifinfomsg *)mnl_nlmsg_get_payload(got))->ifi_index;
}

int link_set_up(int rtnl, const char *name, bool up, struct err *e)
{
	struct ifinfomsg *ifi;
	struct ask ask;
	int r;

	ifi = begin(&ask, RTM_NEWLINK, 0, sizeof(*ifi));
	ifi->ifi_flags = up ? IFF_UP : 0;
	ifi->ifi_change = IFF_UP;
	mnl_attr_put_strz(ask.nlh, IFLA_IFNAME, name);
	r = request(rtnl, &ask);
	return r < 0 ? err_errno(e, r, "setting %s %s", name, up ? "up" : "down") : 0;
}

static uint16_t addr_len(const struct tcp_addr *addr)
{
	return addr->family == AF_INET ? 4 : 16;
}

/* Sends what gives the interface `name` something for `addr`: `what` is "the address ... to". */
static int request_for(int rtnl, struct ask *ask, const char *what, const struct tcp_addr *addr,
		       const char *relation, const char *name, struct err *e)
{
	char text[TCP_ADDR_TEXT];
	int r = request(rtnl, ask);

	return r < 0 ? err_errno(e, r, "adding %s %s %s %s", what, tcp_addr_host_text(addr, text),
				 relation, name)
		     : 0;
}

int link_add_addr(int rtnl, const char *name, const struct tcp_addr *addr, uint8_t prefix_len,
		  struct err *e)
{
	int index = index_of(rtnl, name, e);
	struct ifaddrmsg *ifa;
	struct ask ask;

	if (index < 0)
		return index;
	ifa = begin(&ask, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof(*ifa));
	ifa->ifa_family = addr->family;
	ifa->ifa_prefixlen = prefix_len;
	ifa->ifa_flags = addr->family == AF_INET6 ? IFA_F_NODAD : 0;
	ifa->ifa_index = (uint32_t)index;
	mnl_attr_put(ask.nlh, IFA_LOCAL, addr_len(addr), addr->bytes);
	mnl_attr_put(ask.nlh, IFA_ADDRESS, addr_len(addr), addr->bytes);
	return request_for(rtnl, &ask, "the address", addr, "to", name, e);
}

int link_watch_routes(struct err *e)
{
	const struct sockaddr_nl here = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_IPV6_ROUTE };
	int fd = link_open(e), r;

	if (fd < 0)
		return fd;
	if (bind(fd, (const struct sockaddr *)&here, sizeof(here)) == 0)
		return fd;
	r = err_errno(e, -errno, "watching for new routes");
	close(fd);
	return r;
}

/* Whether a message tells of the local route to an address. */
static bool is_local_route(const struct nlmsghdr *nlh, const struct tcp_addr *addr)
{
	const struct rtmsg *rt = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;

	if (nlh->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(nlh) < sizeof(*rt) ||
	    rt->rtm_type != RTN_LOCAL || rt->rtm_family != addr->family)
		return false;
	mnl_attr_for_each (attr, nlh, sizeof(*rt))
		if (mnl_attr_get_type(attr) == RTA_DST &&
		    mnl_attr_get_payload_len(attr) == addr_len(addr) &&
		    !memcmp(mnl_attr_get_payload(attr), addr->bytes, addr_len(addr)))
			return true;
	return false;
}

int link_await_local(int routes, const struct tcp_addr *addr, struct err *e)
{
	char space[8192] __attribute__((aligned(4)));

	for (;;) {
		ssize_t n = recv(routes, space, sizeof(space), 0);
		int left = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(e, errno == EAGAIN ? -ETIMEDOUT : -errno,
					 "waiting until an IPv6 address is in use");
		for (const struct nlmsghdr *nlh = (void *)space; mnl_nlmsg_ok(nlh, left);
		     nlh = mnl_nlmsg_next(nlh, &left))
			if (is_local_route(nlh, addr))
				return 0;
	}
}

int link_add_neighbour(int rtnl, const char *name, const struct tcp_addr *addr,
		       const uint8_t mac[LINK_MAC_BYTES], struct err *e)
{
	int index = index_of(rtnl, name, e);
	struct ndmsg *nd;
	struct ask ask;

	if (index < 0)
		return index;
	nd = begin(&ask, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*nd));
	nd->ndm_family = addr->family;
	nd->ndm_ifindex = index;
	nd->ndm_state = NUD_PERMANENT;
	mnl_attr_put(ask.nlh, NDA_DST, addr_len(addr), addr->bytes);
	mnl_attr_put(ask.nlh, NDA_LLADDR, LINK_MAC_BYTES, mac);
	return request_for(rtnl, &ask, "the neighbour", addr, "to", name, e);
}

int link_add_quick_route(int rtnl, const char *name, const struct tcp_addr *addr, struct err *e)
{
	int index = index_of(rtnl, name, e);
	struct nlattr *metrics;
	struct rtmsg *rt;
	struct ask ask;

	if (index < 0)
		return index;
	rt = begin(&ask, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof(*rt));
	rt->rtm_family = addr->family;
	rt->rtm_dst_len = (uint8_t)(addr_len(addr) * 8);
	rt->rtm_table = RT_TABLE_MAIN;
	rt->rtm_protocol = RTPROT_STATIC;
	rt->rtm_scope = RT_SCOPE_LINK;
	rt->rtm_type = RTN_UNICAST;
	mnl_attr_put(ask.nlh, RTA_DST, addr_len(addr), addr->bytes);
	mnl_attr_put_u32(ask.nlh, RTA_OIF, (uint32_t)index);
	metrics = mnl_attr_nest_start(ask.nlh, RTA_METRICS);
	mnl_attr_put_u32(ask.nlh, RTAX_QUICKACK, 1);
	mnl_attr_nest_end(ask.nlh, metrics);
	return request_for(rtnl, &ask, "a route to", addr, "over", name, e);
}

int link_plain_frames(int inet, const char *name, struct err *e)
{
	static const struct {
		uint32_t cmd;
		const char *what;
	} features[] = {
		{ ETHTOOL_SGRO, "GRO" },
		{ ETHTOOL_STSO, "TSO" },
		{ ETHTOOL_SGSO, "GSO" },
		{ ETHTOOL_STXCSUM, "transmit checksum offload" },
	};
	struct ethtool_value value = { .data = 0 };
	struct ifreq ifr = { .ifr_data = (void *)&value };

	strncpy(ifr.ifr_name, name, sizeof(ifr.ifr_name) - 1);
	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		value.cmd = features[i].cmd;
		if (ioctl(inet, SIOCETHTOOL, &ifr) < 0)
			return err_errno(e, -errno, "turning %s off on %s", features[i].what, name);
	}
	return 0;
}
