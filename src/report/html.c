/* SPDX-License-Identifier: MIT */
#include "report/html.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "page.h"
#include "report/machine.h"
#include "report/story.h"
#include "report/svg.h"
#include "report/xml.h"
#include "tcp/explain.h"

/* The policy allows what stands in the page itself, and nothing from elsewhere. */
static void add_head(struct buf *out, const struct tl_run *const runs[], size_t n)
{
	buf_str(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		     "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
		     "style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n"
		     "<link rel=\"icon\" href=\"data:,\">\n<title>");
	if (n == 1)
		XML_FIELD(out, runs[0]->name);
	else
		buf_printf(out, "%zu scenarios", n);
	buf_printf(out, " \u2013 unclosed lab</title>\n<style>\n%s%s</style>\n</head>\n<body>\n",
		   page_diagram_css, page_page_css);
}

static void add_header(struct buf *out, const struct tl_run *const runs[], size_t n)
{
	size_t passed = 0;

	for (size_t i = 0; i < n; i++)
		passed += runs[i]->status == TL_PASSED;
	buf_printf(out,
		   "<header>\n<h1>unclosed lab</h1>\n<p class=\"faint\">What happens to a TCP "
		   "connection when one side does not close its socket? "
		   "<span class=\"%s\">%zu of %zu scenario%s passed.</span></p>\n",
		   passed == n ? "passed" : "failed", passed, n, n == 1 ? "" : "s");
	if (n > 1) {
		buf_str(out, "<p class=\"pick\"><label for=\"pick\">Scenario</label> "
			     "<select id=\"pick\">\n");
		for (size_t i = 0; i < n; i++) {
			buf_printf(out, "<option value=\"%zu\">%s", i,
				   runs[i]->status == TL_PASSED ? "" : "\u2717 ");
			XML_FIELD(out, runs[i]->name);
			buf_str(out, "</option>\n");
		}
		buf_str(out, "</select></p>\n");
	}
	buf_str(out, "</header>\n");
}

static const char *verdict(const struct tl_run *run)
{
	switch (run->status) {
	case TL_PASSED:
		return "passed";
	case TL_FAILED:
		return "failed";
	case TL_CANNOT:
		return "cannot run here";
	default:
		return "broken";
	}
}

static void add_verdict(struct buf *out, const struct tl_run *run)
{
	buf_printf(out, "<p><span class=\"%s\">%s</span>",
		   run->status == TL_PASSED ? "passed" : "failed", verdict(run));
	if (run->loopback)
		buf_str(out, " <span class=\"faint\">on loopback: states without packets</span>");
	if (run->source[0]) {
		buf_str(out, " <span class=\"faint\">");
		XML_FIELD(out, run->source);
		buf_str(out, "</span>");
	}
	buf_str(out, "</p>\n");
	if (run->error[0]) {
		buf_str(out, "<p class=\"failed\">");
		XML_FIELD(out, run->error);
		buf_str(out, "</p>\n");
	}
}

/* The scenario's explanation; its line breaks are the script's. */
static void add_shows(struct buf *out, const struct tl_run *run)
{
	char shows[sizeof(run->shows) + 1] = "";

	memcpy(shows, run->shows, sizeof(run->shows));
	for (char *p = shows; *p; p++)
		if (*p == '\n' || *p == '\t')
			*p = ' ';
	buf_str(out, "<p>");
	XML_FIELD(out, shows);
	buf_str(out, "</p>\n");
}

static int add_run(struct buf *out, const struct tl_run *run)
{
	struct story story;
	int r = story_tell(&story, run);

	if (r < 0)
		return r;
	buf_str(out, "<section class=\"run\" data-name=\"");
	XML_FIELD(out, run->name);
	buf_str(out, "\">\n<h2>");
	XML_FIELD(out, run->name);
	if (run->title[0]) {
		buf_str(out, ": ");
		XML_FIELD(out, run->title);
	}
	buf_str(out, "</h2>\n");
	add_shows(out, run);
	add_verdict(out, run);
	svg_diagram(out, run, &story);
	buf_str(out, "</section>\n");
	story_free(&story);
	return 0;
}

static void add_machines(struct buf *out)
{
	static const char *const ends[] = { "client", "server" };

	buf_str(out, "<div id=\"machines\">\n");
	for (size_t i = 0; i < 2; i++) {
		buf_printf(out,
			   "<figure>\n<figcaption>%s: <span id=\"state-%s\"></span></figcaption>\n",
			   ends[i], ends[i]);
		machine_svg(out, ends[i]);
		buf_str(out, "</figure>\n");
	}
	buf_str(out, "</div>\n");
}

static void add_controls(struct buf *out)
{
	buf_str(out,
		"<div id=\"bar\">\n<p id=\"said\" aria-live=\"polite\"></p>\n<div id=\"buttons\">"
		"<button id=\"first\" type=\"button\" aria-label=\"first step\" title=\"first (Home)\">"
		"\u21e4</button>"
		"<button id=\"back\" type=\"button\" aria-label=\"step back\" title=\"back (left arrow)\">"
		"\u2190</button>"
		"<button id=\"next\" type=\"button\" aria-label=\"step forward\" title=\"forward (right "
		"arrow)\">\u2192</button>"
		"<button id=\"last\" type=\"button\" aria-label=\"last step\" title=\"last (End)\">\u21e5"
		"</button>"
		"<input id=\"slider\" type=\"range\" min=\"0\" value=\"0\" aria-label=\"step\">"
		"<span id=\"count\"></span></div>\n</div>\n");
}

static void add_fields(struct buf *out)
{
	static const struct {
		const char *id, *name;
	} fields[] = {
		{ "flags", "flags" },   { "bytes", "data bytes" },
		{ "seq", "sequence" },  { "ack", "acknowledges" },
		{ "window", "window" }, { "fate", "what became of it" },
		{ "from", "way" },
	};

	buf_str(out, "<div id=\"packet\" hidden>\n<h3>Packet</h3>\n<dl id=\"fields\">\n");
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		buf_printf(out, "<div><dt>%s</dt><dd id=\"field-%s\"></dd></div>\n", fields[i].name,
			   fields[i].id);
	buf_str(out, "</dl>\n</div>\n");
}

static void add_part(struct buf *out, const char *label, const char *text)
{
	buf_printf(out, "<p><b>%s</b> ", label);
	xml_text(out, text);
	buf_str(out, "</p>");
}

static void add_meanings(struct buf *out)
{
	const struct explain *x;

	buf_str(out,
		"<div id=\"meanings\">\n"
		"<div class=\"meaning\" id=\"meaning-client\"><h3>Client</h3><div class=\"body\">"
		"</div></div>\n"
		"<div class=\"meaning\" id=\"meaning-server\"><h3>Server</h3><div class=\"body\">"
		"</div></div>\n</div>\n");
	for (size_t i = 0; (x = explain_states(i)); i++) {
		char rfc[EXPLAIN_RFC_TEXT];

		buf_printf(out, "<template id=\"explain-%s\">", x->name);
		buf_printf(out, "<p><b>%s</b> <span class=\"faint\">%s</span></p><p>", x->name,
			   x->rfc ? explain_rfc_text(x->rfc, true, rfc) : "");
		xml_text(out, x->what);
		buf_str(out, "</p>");
		add_part(out, "What keeps it:", x->keeps);
		add_part(out, "What ends it:", x->ends);
		add_part(out, "Who has to act:", x->act);
		buf_str(out, "</template>\n");
	}
}

int lab_html(struct buf *out, const struct tl_run *const runs[], size_t n)
{
	int r = 0;

	add_head(out, runs, n);
	add_header(out, runs, n);
	buf_str(out, "<main>\n<div id=\"runs\">\n");
	for (size_t i = 0; i < n && r == 0; i++)
		r = add_run(out, runs[i]);
	buf_str(out, "</div>\n<div id=\"side\" hidden>\n");
	add_machines(out);
	add_controls(out);
	add_fields(out);
	add_meanings(out);
	buf_printf(out, "</div>\n</main>\n<script>\n%s</script>\n</body>\n</html>\n", page_page_js);
	if (r == 0 && out->failed)
		r = -ENOMEM;
	return r;
}
