/* SPDX-License-Identifier: MIT */
#include "kernel/tcpinfo.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static void take(const struct tcp_info *info, struct tcp_sample *s)
{
	s->has_info = true;
	s->last_data_sent_ms = info->tcpi_last_data_sent;
	s->last_data_recv_ms = info->tcpi_last_data_recv;
	s->last_ack_recv_ms = info->tcpi_last_ack_recv;
	s->bytes_acked = info->tcpi_bytes_acked;
	s->bytes_received = info->tcpi_bytes_received;
	s->bytes_sent = info->tcpi_bytes_sent;
	s->segs_out = info->tcpi_segs_out;
	s->segs_in = info->tcpi_segs_in;
	s->unacked = info->tcpi_unacked;
	s->notsent_bytes = info->tcpi_notsent_bytes;
	s->snd_wnd = info->tcpi_snd_wnd;
	s->rto_ms = info->tcpi_rto / 1000;
	s->rtt_ms = info->tcpi_rtt / 1000;
}

void tcpinfo_decode(const void *data, size_t len, struct tcp_sample *s)
{
	struct tcp_info info = { 0 };

	memcpy(&info, data, len < sizeof(info) ? len : sizeof(info));
	take(&info, s);
}

int tcpinfo_ask(int fd, struct tcp_sample *s)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return -errno;
	take(&info, s);
	s->state = info.tcpi_state;
	return 0;
}
