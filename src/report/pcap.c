/* SPDX-License-Identifier: MIT */
#include "report/pcap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <pcap/pcap.h>

#include "base/clock.h"

/* Ethernet's largest frame with the lab's MTU of 1500 is 1514; the wire keeps what it carried. */
#define SNAP_LENGTH 65535

static void add_run(pcap_dumper_t *dump, const struct tl_run *run)
{
	for (uint32_t i = 0; i < run->nevents; i++) {
		const struct tl_event *v = &run->events[i];
		int64_t ns = run->started_ns + v->t_us * 1000;
		struct pcap_pkthdr h = { 0 };

		if (v->kind != TL_PACKET || v->packet.fate == TL_RELEASED ||
		    v->packet.frame_len == 0 ||
		    (uint64_t)v->packet.frame_off + v->packet.frame_len > run->frames_len)
			continue;
		/* With nanosecond precision, tv_usec holds nanoseconds: pcap-tstamp(7). */
		h.ts.tv_sec = ns / CLOCK_NS_PER_S;
		h.ts.tv_usec = ns % CLOCK_NS_PER_S;
		h.caplen = h.len = v->packet.frame_len;
		pcap_dump((unsigned char *)dump, &h, run->frames + v->packet.frame_off);
	}
}

int lab_pcap(const char *path, const struct tl_run *const runs[], size_t n, struct err *e)
{
	pcap_t *p = pcap_open_dead_with_tstamp_precision(DLT_EN10MB, SNAP_LENGTH,
							 PCAP_TSTAMP_PRECISION_NANO);
	pcap_dumper_t *dump;
	int r = 0;

	if (!p)
		return err_set(e, -ENOMEM, "writing %s: out of memory", path);
	errno = 0;
	dump = pcap_dump_open(p, path);
	if (!dump) {
		r = err_set(e, errno ? -errno : -EIO, "cannot write the capture: %s",
			    pcap_geterr(p));
		pcap_close(p);
		return r;
	}
	for (size_t i = 0; i < n; i++)
		add_run(dump, runs[i]);
	errno = 0;
	if (pcap_dump_flush(dump) < 0 || ferror(pcap_dump_file(dump)))
		r = err_errno(e, errno ? -errno : -EIO, "writing the capture %s", path);
	pcap_dump_close(dump);
	pcap_close(p);
	return r;
}
