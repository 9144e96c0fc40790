/* SPDX-License-Identifier: MIT */
#include "report/pcap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <pcap/pcap.h>

#include "base/clock.h"

/* Ethernet's largest frame with the lab's MTU of 1500 is 1514; the wire keeps what it carried. */
#define SNAP_LENGTH 65535

/* Between the last packet of a run and the first moment of the next. */
#define GAP_NS CLOCK_NS_PER_S

/* Adds the packets of a run that begins at `start_ns`, and counts them. Returns the time of the
 * last one. */
static int64_t add_run(pcap_dumper_t *dump, const struct tl_run *run, int64_t start_ns,
		       size_t *packets)
{
	int64_t last_ns = start_ns;

	for (uint32_t i = 0; i < run->nevents; i++) {
		const struct tl_event *v = &run->events[i];
		int64_t ns = start_ns + v->t_us * 1000;
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
		last_ns = ns;
		(*packets)++;
	}
	return last_ns;
}

/* All runs one after another. They went side by side, with the same addresses: where one began
 * before the one in front of it in the file ended, its times are moved behind that. Returns how
 * many packets there were. */
static size_t add_runs(pcap_dumper_t *dump, const struct tl_run *const runs[], size_t n)
{
	int64_t free_from_ns = 0;
	size_t packets = 0;

	for (size_t i = 0; i < n; i++) {
		int64_t start_ns = runs[i]->started_ns;

		if (start_ns < free_from_ns)
			start_ns = free_from_ns;
		free_from_ns = add_run(dump, runs[i], start_ns, &packets) + GAP_NS;
	}
	return packets;
}

int lab_pcap(const char *path, const struct tl_run *const runs[], size_t n, size_t *packets,
	     struct err *e)
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
	*packets = add_runs(dump, runs, n);
	errno = 0;
	if (pcap_dump_flush(dump) < 0 || ferror(pcap_dump_file(dump)))
		r = err_errno(e, errno ? -errno : -EIO, "writing the capture %s", path);
	pcap_dump_close(dump);
	pcap_close(p);
	return r;
}
