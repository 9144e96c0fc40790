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

#define REQUEST_BYTES    1024
#define ANSWER_TIMEOUT_S 5

int link_open(struct err *e)
{
	struct timeval limit = { .tv_sec = ANSWER_TIMEOUT_S };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return err_errno(e, -errno, "opening an rtnetlink socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

/* Sends one request and waits for the kernel's acknowledgement. Returns 0 or -errno. */
static int request(int rtnl, struct nlmsghdr *nlh)
{
	static uint32_t seq;
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	char space[4096] __attribute__((aligned(4)));
	const struct nlmsghdr *answer = (struct nlmsghdr *)space;
	const struct nlmsgerr *err;
	ssize_t n;

	nlh->nlmsg_seq = ++seq;
	nlh->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	if (sendto(rtnl, nlh, nlh->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	do {
		n = recv(rtnl, space, sizeof(space), 0);
		if (n < 0 && errno != EINTR)
			return -errno;
	} while (n < 0 || !mnl_nlmsg_ok(answer, (int)n) || answer->nlmsg_seq != seq ||
		 answer->nlmsg_type != NLMSG_ERROR);
	err = mnl_nlmsg_get_payload(answer);
	return mnl_nlmsg_get_payload_len(answer) < sizeof(err->error) ? -EBADMSG : err->error;
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
	char space[REQUEST_BYTES] __attribute__((aligned(4)));
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(space);
	struct nlattr *info, *data, *peer;
	int r;

	nlh->nlmsg_type = RTM_NEWLINK;
	nlh->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
	put_end(nlh, a);
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_str(nlh, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(nlh, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
	put_end(nlh, b);
	mnl_attr_nest_end(nlh, peer);
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, info);
	r = request(rtnl, nlh);
	return r < 0 ? err_errno(e, r, "making the veth pair %s-%s", a->name, b->name) : 0;
}

/* rtnetlink finds an interface by IFLA_IFNAME where the index is 0, but addresses and neighbours
 * need the index: it is asked for here, in the rtnetlink socket's own namespace. */
static int index_of(int rtnl, const char *name)
{
	char space[REQUEST_BYTES] __attribute__((aligned(4)));
	char answer[8192] __attribute__((aligned(4)));
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(space);
	const struct nlmsghdr *got = (struct nlmsghdr *)answer;
	ssize_t n;

	nlh->nlmsg_type = RTM_GETLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	nlh->nlmsg_seq = 1u << 30;
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	if (sendto(rtnl, nlh, nlh->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	do {
		n = recv(rtnl, answer, sizeof(answer), 0);
		if (n < 0 && errno != EINTR)
			return -errno;
	} while (n < 0 || !mnl_nlmsg_ok(got, (int)n) || got->nlmsg_seq != 1u << 30);
	if (got->nlmsg_type != RTM_NEWLINK ||
	    mnl_nlmsg_get_payload_len(got) < sizeof(struct ifinfomsg))
		return -ENODEV;
	return ((const struct ifinfomsg *)mnl_nlmsg_get_payload(got))->ifi_index;
}

int link_set_up(int rtnl, const char *name, bool up, struct err *e)
{
	char space[REQUEST_BYTES] __attribute__((aligned(4)));
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(space);
	struct ifinfomsg *ifi;
	int r;

	nlh->nlmsg_type = RTM_NEWLINK;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_flags = up ? IFF_UP : 0;
	ifi->ifi_change = IFF_UP;
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	r = request(rtnl, nlh);
	return r < 0 ? err_errno(e, r, "setting %s %s", name, up ? "up" : "down") : 0;
}

static uint32_t addr_len(const struct tcp_addr *addr)
{
	return addr->family == AF_INET ? 4 : 16;
}

int link_add_addr(int rtnl, const char *name, const struct tcp_addr *addr, uint8_t prefix_len,
		  struct err *e)
{
	char space[REQUEST_BYTES] __attribute__((aligned(4)));
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(space);
	char text[TCP_ADDR_TEXT];
	struct ifaddrmsg *ifa;
	int r = index_of(rtnl, name);

	if (r < 0)
		return err_errno(e, r, "looking up interface %s", name);
	nlh->nlmsg_type = RTM_NEWADDR;
	nlh->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));
	ifa->ifa_family = addr->family;
	ifa->ifa_prefixlen = prefix_len;
	ifa->ifa_flags = addr->family == AF_INET6 ? IFA_F_NODAD : 0;
	ifa->ifa_index = (uint32_t)r;
	mnl_attr_put(nlh, IFA_LOCAL, addr_len(addr), addr->bytes);
	mnl_attr_put(nlh, IFA_ADDRESS, addr_len(addr), addr->bytes);
	r = request(rtnl, nlh);
	if (r < 0)
		return err_errno(e, r, "adding the address %s to %s",
				 tcp_addr_host_text(addr, text), name);
	return 0;
}

int link_add_neighbour(int rtnl, const char *name, const struct tcp_addr *addr,
		       const uint8_t mac[LINK_MAC_BYTES], struct err *e)
{
	char space[REQUEST_BYTES] __attribute__((aligned(4)));
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(space);
	char text[TCP_ADDR_TEXT];
	struct ndmsg *nd;
	int r = index_of(rtnl, name);

	if (r < 0)
		return err_errno(e, r, "looking up interface %s", name);
	nlh->nlmsg_type = RTM_NEWNEIGH;
	nlh->nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE;
	nd = mnl_nlmsg_put_extra_header(nlh, sizeof(*nd));
	nd->ndm_family = addr->family;
	nd->ndm_ifindex = r;
	nd->ndm_state = NUD_PERMANENT;
	mnl_attr_put(nlh, NDA_DST, addr_len(addr), addr->bytes);
	mnl_attr_put(nlh, NDA_LLADDR, LINK_MAC_BYTES, mac);
	r = request(rtnl, nlh);
	if (r < 0)
		return err_errno(e, r, "adding the neighbour %s to %s",
				 tcp_addr_host_text(addr, text), name);
	return 0;
}

int link_add_quick_route(int rtnl, const char *name, const struct tcp_addr *addr, struct err *e)
{
	char space[REQUEST_BYTES] __attribute__((aligned(4)));
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(space);
	char text[TCP_ADDR_TEXT];
	struct nlattr *metrics;
	struct rtmsg *rt;
	int r = index_of(rtnl, name);

	if (r < 0)
		return err_errno(e, r, "looking up interface %s", name);
	nlh->nlmsg_type = RTM_NEWROUTE;
	nlh->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	rt = mnl_nlmsg_put_extra_header(nlh, sizeof(*rt));
	rt->rtm_family = addr->family;
	rt->rtm_dst_len = (uint8_t)(addr_len(addr) * 8);
	rt->rtm_table = RT_TABLE_MAIN;
	rt->rtm_protocol = RTPROT_STATIC;
	rt->rtm_scope = RT_SCOPE_LINK;
	rt->rtm_type = RTN_UNICAST;
	mnl_attr_put(nlh, RTA_DST, addr_len(addr), addr->bytes);
	mnl_attr_put_u32(nlh, RTA_OIF, (uint32_t)r);
	metrics = mnl_attr_nest_start(nlh, RTA_METRICS);
	mnl_attr_put_u32(nlh, RTAX_QUICKACK, 1);
	mnl_attr_nest_end(nlh, metrics);
	r = request(rtnl, nlh);
	if (r < 0)
		return err_errno(e, r, "adding a route to %s over %s",
				 tcp_addr_host_text(addr, text), name);
	return 0;
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
