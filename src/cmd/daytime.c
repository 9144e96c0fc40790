/* SPDX-License-Identifier: MIT */
/* daytime: the daytime client. */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "base/text.h"
#include "cmd/daytime_opts.h"
#include "daytime/client.h"

enum {
	OPT_AFTER = 256,
	OPT_TIMEOUT,
	OPT_UNTIL,
	OPT_LIMIT,
	OPT_UDP,
	OPT_OFFSET,
};

static const struct opt options[] = {
	{ '4', "ipv4", NULL, "use IPv4 only", NULL },
	{ '6', "ipv6", NULL, "use IPv6 only", NULL },
	{ 'p', "port", "PORT", "the port, as a number or a service's name (daytime)", NULL },
	{ OPT_UDP, "udp", NULL, "ask over UDP", NULL },
	{ OPT_OFFSET, "offset", NULL, "show how far the server's clock is from this one", NULL },
	{ OPT_TIMEOUT, "timeout", "DURATION", "give up after this long (5s)", NULL },
	{ OPT_UNTIL, "until", "WHAT",
	  "line: a whole line is enough (the default); end: read to the end of the stream",
	  "line end" },
	{ OPT_LIMIT, "limit", "BYTES", "show no more of a reply than this (4096)", NULL },
	{ OPT_AFTER, "after-reply", "WHAT",
	  "close, exit (without closing), or hold:DURATION (close later, or on SIGUSR1)",
	  "close exit hold:" },
	OPTS_COMMON,
	OPTS_END,
};

static const struct usage usage = {
	.name = "daytime",
	.complete = "host",
	.operands = "[host [port] | host...]",
	.summary = "Asks a daytime server (RFC 867) for the time and prints its reply",
	.opts = options,
	.more = "The host is localhost unless given, the port that of the service 'daytime', 13. A second\n"
		"operand that is a number is the port; otherwise all operands are hosts.\n",
};

struct settings {
	struct client_config client;
	enum after_word after;
	int64_t hold_ns;
	bool offset;
	const char *port;
	char **hosts;
	int count;
};

static int parse_after(struct settings *s, const char *word, struct err *e)
{
	int r = daytime_after(word, "exit", &s->hold_ns, e);

	if (r >= 0)
		s->after = (enum after_word)r;
	return r;
}

static int parse_until(struct settings *s, const char *word, struct err *e)
{
	if (!strcmp(word, "line"))
		s->client.until_end = false;
	else if (!strcmp(word, "end"))
		s->client.until_end = true;
	else
		return err_set(e, -EINVAL, "--until is line or end, not '%s'", word);
	return 0;
}

static int parse_option(void *settings, int id, const char *arg, struct err *e)
{
	struct settings *s = settings;
	uint64_t limit;

	switch (id) {
	case '4':
		s->client.family = AF_INET;
		return 0;
	case '6':
		s->client.family = AF_INET6;
		return 0;
	case 'p':
		s->port = arg;
		return 0;
	case OPT_UDP:
		s->client.udp = true;
		return 0;
	case OPT_OFFSET:
		s->offset = true;
		return 0;
	case OPT_TIMEOUT:
		if (daytime_duration(arg, &s->client.timeout_ns, e) < 0)
			return -EINVAL;
		return s->client.timeout_ns ? 0 : err_set(e, -EINVAL, "--timeout is not 0");
	case OPT_UNTIL:
		return parse_until(s, arg, e);
	case OPT_LIMIT:
		if (num_u64(arg, 1, 1 << 20, &limit) < 0)
			return err_set(e, -EINVAL, "--limit is 1 to 1048576 bytes, not '%s'", arg);
		s->client.limit = limit;
		return 0;
	case OPT_AFTER:
		return parse_after(s, arg, e);
	default:
		return -EINVAL;
	}
}

/* Hosts; the second of two operands is the port where it is a number. */
static void take_operands(struct settings *s, char **operand, int count)
{
	uint16_t port;

	if (count == 2 && num_port(operand[1], &port) == 0) {
		s->port = operand[1];
		count = 1;
	}
	if (count > 0) {
		s->hosts = operand;
		s->count = count;
	}
}

/* Such a word could be an IPv4 address of the old form; as a second operand it is meant as a port.
 */
static bool is_number(const char *word)
{
	return *word && !word[strspn(word, "0123456789")];
}

/* Returns -1 to go on, or an exit code. */
static int parse(struct settings *s, int argc, char **argv)
{
	int rest, code = daytime_options(&usage, argc, argv, parse_option, s, &rest);

	if (code >= 0)
		return code;
	if (argc - rest == 2 && is_number(argv[rest + 1]) &&
	    num_port(argv[rest + 1], &(uint16_t){ 0 }) < 0)
		return opts_misuse(&usage, "'%s' is no port; it is a number from 0 to 65535",
				   argv[rest + 1]);
	take_operands(s, argv + rest, argc - rest);
	if (s->count > 1 && s->after == AFTER_WORD_OTHER)
		return opts_misuse(&usage,
				   "--after-reply=exit ends with the first of several hosts");
	return -1;
}

/* Prints the reply: its line ends as line ends, all else that a terminal would act on escaped. */
static int print_reply(const struct client_reply *r, const char *host)
{
	bool utf8 = text_locale_is_utf8();
	const char *p = r->bytes.data, *end = p + r->bytes.len;
	struct buf out = { 0 };

	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)((nl ? nl : end) - p);

		if (nl && n > 0 && p[n - 1] == '\r')
			n--;
		if (host &&
		    (n > 0 || p > r->bytes.data)) /* not before the NIST form's first line end */
			buf_printf(&out, "%s: ", host);
		text_escape(&out, p, n, utf8);
		buf_str(&out, "\n"); /* also after a last line that has none */
		p = nl ? nl + 1 : end;
	}
	if (!out.failed)
		fwrite(out.data, 1, out.len, stdout);
	buf_free(&out);
	return fflush(stdout) == 0 && !ferror(stdout) ? 0 : -1;
}

/* Waits that long, or until SIGUSR1, which main() has blocked. */
static void hold(int64_t ns)
{
	int64_t until = clock_mono_ns() + ns;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	for (;;) {
		int64_t left = until - clock_mono_ns();
		struct timespec ts = { left / CLOCK_NS_PER_S, left % CLOCK_NS_PER_S };

		if (left <= 0 || sigtimedwait(&set, NULL, &ts) == SIGUSR1 || errno == EAGAIN)
			return;
	}
}

/* Prints how far the server's clock is ahead of (+) or behind (-) ours. */
static int print_offset(const struct client_reply *r, const char *host)
{
	int64_t ahead, margin;
	int ret = client_offset(r, &ahead, &margin);

	if (ret < 0) {
		fprintf(stderr, "daytime: %s: %s; no offset\n", r->peer,
			ret == -ENOENT ? "the reply's zone is neither UTC nor this host's"
				       : "the reply's form is not known");
		return EXIT_FINDINGS;
	}
	printf("%s%soffset %+.3f s, give or take %.3f s\n", host ? host : "", host ? ": " : "",
	       (double)ahead / CLOCK_NS_PER_S, (double)margin / CLOCK_NS_PER_S);
	fflush(stdout);
	return EXIT_FINE;
}

/* Shows a reply and does with its connection what was asked for. */
static int show(const struct settings *s, struct client_reply *reply, const char *host)
{
	const char *prefix = s->count > 1 ? host : NULL;
	int code = EXIT_FINE;

	if (print_reply(reply, prefix) < 0) {
		fprintf(stderr, "daytime: cannot write the reply: %s\n", strerror(errno));
		code = EXIT_CANNOT;
	}
	if (reply->cut)
		fprintf(stderr,
			"daytime: %s: the reply is longer than %zu bytes; the rest is not shown\n",
			reply->peer, s->client.limit);
	if (code == EXIT_FINE && s->offset)
		code = print_offset(reply, prefix);
	buf_free(&reply->bytes);
	if (s->after == AFTER_WORD_OTHER)
		_exit(code); /* the point: nobody calls close() */
	if (s->after == AFTER_WORD_HOLD)
		hold(s->hold_ns);
	close(reply->fd);
	return code;
}

/* Asks every host in turn. Returns the worst exit code. */
static int ask(const struct settings *s)
{
	int worst = EXIT_FINE;

	for (int i = 0; i < s->count; i++) {
		struct client_reply reply = { .fd = -1 };
		struct err e = { 0 };
		int code = EXIT_FINDINGS;

		if (client_fetch(&s->client, s->hosts[i], s->port, &reply, &e) < 0)
			fprintf(stderr, "daytime: %s\n", e.text);
		else
			code = show(s, &reply, s->hosts[i]);
		worst = code > worst ? code : worst;
	}
	return worst;
}

int main(int argc, char **argv)
{
	static char local[] = "localhost";
	char *local_only[] = { local };
	struct settings s = {
		.client = { .timeout_ns = 5 * CLOCK_NS_PER_S, .limit = 4096 },
		.hosts = local_only,
		.count = 1,
		.port = "daytime",
	};
	sigset_t set;
	int done;

	setlocale(LC_ALL, "");
	done = parse(&s, argc, argv);
	if (done >= 0)
		return done;
	if (s.after ==
	    AFTER_WORD_HOLD) { /* a signal that comes early ends the hold before it begins */
		sigemptyset(&set);
		sigaddset(&set, SIGUSR1);
		sigprocmask(SIG_BLOCK, &set, NULL);
	}
	return ask(&s);
}
