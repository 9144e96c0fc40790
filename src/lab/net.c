/* SPDX-License-Identifier: MIT */
#include "lab/net.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/diag.h"
#include "kernel/link.h"

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

/* Frames that wait for the wire; a full window of small segments fits. */
#define WIRE_RCVBUF (8 << 20)

static const char *const wire_names[2] = { "client", "server" };
static const char *const addr_texts[2][2] = { { "10.0.0.1", "fd00::1" },
					      { "10.0.0.2", "fd00::2" } };
static const char *const loop_texts[2] = { "127.0.0.1", "::1" };

static void net_init(struct lab_net *net)
{
	*net = (struct lab_net){
		.host_ns = { -1, -1 },
		.diag = { -1, -1 },
		.packet = { -1, -1 },
		/* 02: locally administered; the wire's own ends differ in the last byte but one */
		.mac = { { 2, 0, 0, 0, 0, 1 }, { 2, 0, 0, 0, 0, 2 } },
	};
}

static int open_netns(struct err *e)
{
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? err_errno(e, -errno, "opening /proc/thread-self/ns/net") : fd;
}

/* Writes into /proc/sys/net of the namespace that the caller is in. */
static int write_sysctl(const char *name, const char *value)
{
	char path[160];
	_fd_ int fd = -1;

	snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return fd_write_all(fd, value, strlen(value));
}

/* What a host needs before its interface exists. Only the port limit matters; the others keep
 * packets that are not the scenario's off the wire, and may be missing. */
static int prepare_host(struct err *e)
{
	int r = write_sysctl("ipv4/ip_unprivileged_port_start", "0");

	if (r < 0)
		return err_errno(e, r, "setting ip_unprivileged_port_start in a namespace");
	write_sysctl("ipv6/conf/default/addr_gen_mode", "1");
	write_sysctl("ipv6/conf/default/router_solicitations", "0");
	write_sysctl("ipv4/tcp_metrics_save", "0");
	/* A busy machine carries packets late: that must not look like a loss (Linux 6.11). */
	write_sysctl("ipv4/tcp_rto_min_us", "1000000");
	write_sysctl("ipv4/tcp_early_retrans", "0"); /* no probe after two round trips either */
	return 0;
}

/* Sockets that act in a host's namespace while it is made; -1 where there is none. */
struct host_sockets {
	int rtnl, inet;
	int routes; /* told of the local routes; only where IPv6 is used */
};

/* Makes one host's namespace, with the sockets that go on acting there. Leaves the caller in it. */
static int make_host(struct lab_net *net, enum tl_side side, bool ipv6, struct host_sockets *host,
		     struct err *e)
{
	int r;

	if (unshare(CLONE_NEWNET) < 0)
		return err_errno(e, -errno, "making the network namespace of the %s",
				 wire_names[side]);
	r = prepare_host(e);
	if (r < 0)
		return r;
	net->host_ns[side] = open_netns(e);
	if (net->host_ns[side] < 0)
		return net->host_ns[side];
	net->diag[side] = diag_open(e);
	if (net->diag[side] < 0)
		return net->diag[side];
	host->rtnl = link_open(e);
	if (host->rtnl < 0)
		return host->rtnl;
	host->inet = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (host->inet < 0)
		return err_errno(e, -errno, "opening a socket in a namespace");
	if (ipv6)
		host->routes = link_watch_routes(e);
	if (ipv6 && host->routes < 0)
		return host->routes;
	return link_set_up(host->rtnl, "lo", true, e);
}

/* The addresses of one host; the other as a neighbour, so that no packet asks for it, over a route
 * on which no ACK is delayed: the same script gives the same packets, however busy the machine. */
static int configure_host(struct lab_net *net, enum tl_side side, struct host_sockets *host,
			  struct err *e)
{
	int rtnl = host->rtnl;
	static const uint8_t prefix[2] = { 24, 64 };
	bool have[2] = { true, true };
	int r;

	for (int v6 = 0; v6 < 2; v6++) {
		r = link_add_addr(rtnl, "eth0", &net->addr[side][v6], prefix[v6], e);
		/* A kernel without IPv6; a scenario that asks for it will say so. */
		if (v6 && (r == -EACCES || r == -EOPNOTSUPP || r == -EAFNOSUPPORT))
			have[v6] = false, host->routes = fd_close(host->routes);
		else if (r < 0)
			return r;
		if (!have[v6])
			continue;
		r = link_add_neighbour(rtnl, "eth0", &net->addr[!side][v6], net->mac[!side], e);
		if (r < 0)
			return r;
	}
	r = link_set_up(rtnl, "eth0", true, e);
	for (int v6 = 0; v6 < 2 && r == 0; v6++)
		if (have[v6])
			r = link_add_quick_route(rtnl, "eth0", &net->addr[!side][v6], e);
	return r;
}

/* The wire's end that faces a host: takes every frame the host sends, and none of its own. */
static int open_packet(struct lab_net *net, enum tl_side side, int inet, struct err *e)
{
	int index = link_index(inet, wire_names[side], e), one = 1, size = WIRE_RCVBUF;
	struct sockaddr_ll ll = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_ALL),
				  .sll_ifindex = index };
	int fd;

	if (index < 0)
		return index;
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(e, -errno, "opening a packet socket");
	net->packet[side] = fd;
	if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) < 0)
		return err_errno(e, -errno, "setting PACKET_IGNORE_OUTGOING (Linux 4.20)");
	/* The wire's end came up before its peer, so its queue is only activated when the kernel's
	 * link watch gets round to it, up to a second later; until then it would drop what we send.
	 */
	if (setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) < 0)
		return err_errno(e, -errno, "setting PACKET_QDISC_BYPASS");
	if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one)) < 0)
		return err_errno(e, -errno, "setting SO_TIMESTAMPNS");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&ll, sizeof(ll)) < 0)
		return err_errno(e, -errno, "binding a packet socket to %s", wire_names[side]);
	return 0;
}

/* The veth pair of one host: eth0 there, and the wire's end, named after the host, here. */
static int make_cable(struct lab_net *net, enum tl_side side, int rtnl, int inet,
		      struct host_sockets *sockets, struct err *e)
{
	struct link_end host = { .name = "eth0", .netns = net->host_ns[side] };
	struct link_end wire = { .name = wire_names[side], .netns = -1, .mac = { 2, 0, 0, 0, 1 } };
	int r;

	memcpy(host.mac, net->mac[side], sizeof(host.mac));
	wire.mac[5] = (uint8_t)(side + 1);
	r = link_make_veth(rtnl, &wire, &host, e);
	if (r == 0)
		r = link_plain_frames(sockets->inet, "eth0", e);
	if (r == 0)
		r = link_plain_frames(inet, wire.name, e);
	if (r == 0)
		r = link_set_up(rtnl, wire.name, true, e);
	if (r == 0)
		r = configure_host(net, side, sockets, e);
	if (r == 0)
		r = open_packet(net, side, inet, e);
	return r;
}

int net_make(struct lab_net *net, bool ipv6, struct err *e)
{
	struct host_sockets hosts[2] = { { -1, -1, -1 }, { -1, -1, -1 } };
	_fd_ int wire_ns = -1;
	_fd_ int wire_rtnl = -1;
	_fd_ int wire_inet = -1;
	int r = 0;

	net_init(net);
	for (int i = 0; i < 4; i++)
		tcp_addr_parse_host(&net->addr[i / 2][i % 2], addr_texts[i / 2][i % 2]);
	wire_ns = open_netns(e);
	if (wire_ns < 0)
		return wire_ns;
	write_sysctl("ipv6/conf/default/disable_ipv6", "1"); /* the wire's ends only carry */
	wire_rtnl = link_open(e);
	if (wire_rtnl < 0)
		return wire_rtnl;
	wire_inet = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (wire_inet < 0)
		return err_errno(e, -errno, "opening a socket");
	for (int side = 0; side < 2 && r == 0; side++)
		r = make_host(net, side, ipv6, &hosts[side], e);
	if (setns(wire_ns, CLONE_NEWNET) < 0 && r == 0)
		r = err_errno(e, -errno, "going back to the wire's namespace");
	for (int side = 0; side < 2 && r == 0; side++)
		r = make_cable(net, side, wire_rtnl, wire_inet, &hosts[side], e);
	for (int side = 0; side < 2 && r == 0; side++)
		if (hosts[side].routes >= 0)
			r = link_await_local(hosts[side].routes, &net->addr[side][1], e);
	for (int side = 0; side < 2; side++) {
		fd_close(hosts[side].rtnl);
		fd_close(hosts[side].inet);
		fd_close(hosts[side].routes);
	}
	return r;
}

int net_make_loopback(struct lab_net *net, struct err *e)
{
	net_init(net);
	net->loopback = true;
	for (int side = 0; side < 2; side++) {
		for (int v6 = 0; v6 < 2; v6++)
			tcp_addr_parse_host(&net->addr[side][v6], loop_texts[v6]);
		net->diag[side] = diag_open(e);
		if (net->diag[side] < 0)
			return net->diag[side];
	}
	return 0;
}

int net_enter(const struct lab_net *net, enum tl_side side)
{
	if (net->loopback)
		return 0;
	return setns(net->host_ns[side], CLONE_NEWNET) < 0 ? -errno : 0;
}

int net_sysctl(const struct lab_net *net, enum tl_side side, const char *name, const char *value,
	       struct err *e)
{
	_fd_ int home = -1;
	int r;

	if (net->loopback)
		return err_set(e, -EPERM,
			       "no sysctl is changed on loopback: it is this host's own");
	home = open_netns(e);
	if (home < 0)
		return home;
	r = net_enter(net, side);
	if (r < 0)
		return err_errno(e, r, "entering the namespace of the %s", wire_names[side]);
	r = write_sysctl(name, value);
	if (setns(home, CLONE_NEWNET) < 0)
		return err_errno(e, -errno, "going back to the wire's namespace");
	return r < 0 ? err_errno(e, r, "setting net/%s to %s", name, value) : 0;
}

void net_free(struct lab_net *net)
{
	for (int side = 0; side < 2; side++) {
		net->host_ns[side] = fd_close(net->host_ns[side]);
		net->diag[side] = fd_close(net->diag[side]);
		net->packet[side] = fd_close(net->packet[side]);
	}
}
