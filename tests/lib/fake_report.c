/* SPDX-License-Identifier: MIT */
/* fake_report FORMAT [COLUMNS] RUN...: what the reports make of runs that no lab has run. */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "fake_run.h"
#include "report/html.h"
#include "report/lab_json.h"
#include "report/lab_text.h"
#include "report/pcap.h"
#include "report/svg.h"

static int show(struct buf *out, const char *format, const struct tl_run *run,
		const struct report_style *style)
{
	if (!strcmp(format, "json"))
		return lab_json(out, run);
	if (!strcmp(format, "svg"))
		return lab_svg(out, run);
	if (!strncmp(format, "text", 4))
		return lab_text(out, run, style);
	fprintf(stderr, "fake_report: no format %s\n", format);
	return -1;
}

static int show_all(struct buf *out, const char *format, const struct tl_run *const runs[],
		    size_t n, const struct report_style *style)
{
	struct err e = { 0 };
	size_t packets;
	int r = 0;

	if (!strncmp(format, "summary", 7)) {
		lab_text_summary(out, runs, n, 123456, style);
		return 0;
	}
	if (!strcmp(format, "html"))
		return lab_html(out, runs, n);
	if (!strncmp(format, "pcap=", 5)) {
		r = lab_pcap(format + 5, runs, n, &packets, &e);
		if (r < 0)
			fprintf(stderr, "fake_report: %s\n", e.text);
		return r;
	}
	for (size_t i = 0; i < n && r == 0; i++)
		r = show(out, format, runs[i], style);
	return r;
}

int main(int argc, char **argv)
{
	struct report_style style = { .utf8 = true, .columns = 80 };
	struct tl_run *runs[16];
	struct buf out = { 0 };
	uint64_t columns;
	size_t n = 0;
	int r;

	setlocale(LC_ALL, "");
	if (argc < 3)
		return 2;
	style.utf8 = !strstr(argv[1], "-ascii");
	style.colour = strstr(argv[1], "-colour");
	for (int i = 2; i < argc && n < 16; i++) {
		if (num_u64(argv[i], 1, 1000, &columns) == 0) {
			style.columns = (unsigned)columns;
			continue;
		}
		runs[n] = fake_run(argv[i]);
		if (!runs[n])
			return 2;
		n++;
	}
	r = show_all(&out, argv[1], (const struct tl_run *const *)runs, n, &style);
	if (out.data)
		fwrite(out.data, 1, out.len, stdout);
	buf_free(&out);
	while (n > 0)
		free(runs[--n]);
	return r < 0 ? 1 : 0;
}
