/* SPDX-License-Identifier: MIT */
/* daytimed: the daytime server. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"
#include "cmd/opts.h"
#include "daytime/confine.h"
#include "daytime/listen.h"
#include "daytime/server.h"

enum {
	OPT_AFTER = 256,
};

static const struct opt options[] = {
	{ OPT_AFTER, "after-reply", "WHAT",
	  "close, keep (never close), or hold:DURATION (close that much later, or on SIGUSR1)",
	  "close keep hold:" },
	{ 'u', "user", "NAME",
	  "become this user once the port is bound; none: stay root (daytimed, else nobody)",
	  NULL },
	OPTS_COMMON,
	OPTS_END,
};

static const struct usage usage = {
	.name = "daytimed",
	.operands = "[port]",
	.summary =
		"Daytime server (RFC 867) that closes its connections correctly, or not, on request",
	.opts = options,
	.more = "The port is 13 unless given; 0 lets the kernel choose. Stops on SIGTERM.\n",
};

struct settings {
	struct server_config server;
	uint16_t port;
	const char *user;
};

static int parse_after(struct server_config *c, const char *word, struct err *e)
{
	if (!strcmp(word, "close")) {
		c->after = AFTER_CLOSE;
	} else if (!strcmp(word, "keep")) {
		c->after = AFTER_KEEP;
	} else if (!strncmp(word, "hold:", 5)) {
		if (num_duration(word + 5, &c->hold_ns) < 0)
			return err_set(e, -EINVAL, "'%s' is no duration; it reads 100s or 250ms",
				       word + 5);
		c->after = AFTER_HOLD;
	} else {
		return err_set(e, -EINVAL,
			       "--after-reply is close, keep or hold:DURATION, not '%s'", word);
	}
	return 0;
}

static int parse_option(struct settings *s, int id, const char *arg, struct err *e)
{
	switch (id) {
	case OPT_AFTER:
		return parse_after(&s->server, arg, e);
	case 'u':
		s->user = arg;
		return 0;
	default:
		return -EINVAL;
	}
}

/* Returns -1 to go on, or an exit code. */
static int parse(struct settings *s, int argc, char **argv)
{
	struct err e = { 0 };
	struct opts o;
	int c;

	opts_start(&o, &usage, argc, argv);
	while ((c = opts_next(&o, &e)) != OPTS_DONE) {
		if (c == OPT_HELP) {
			opts_help(&usage);
			return EXIT_FINE;
		}
		if (c == OPT_VERSION) {
			opts_version(usage.name);
			return EXIT_FINE;
		}
		if (c == OPTS_BAD || parse_option(s, c, o.arg, &e) < 0)
			return opts_misuse(&usage, "%s", e.text);
	}
	if (argc - o.rest > 1)
		return opts_misuse(&usage, "one port at most, not '%s' as well", argv[o.rest + 1]);
	if (argc - o.rest == 1 && num_port(argv[o.rest], &s->port) < 0)
		return opts_misuse(&usage, "'%s' is no port; it is a number from 0 to 65535",
				   argv[o.rest]);
	return -1;
}

static int fail(const struct err *e)
{
	fprintf(stderr, "daytimed: %s\n", e->text);
	return EXIT_CANNOT;
}

/* Gives up root. A server that was started as root serves as another user, or as root where it was
 * told so, or not at all. */
static int confine(const struct settings *s, struct err *e)
{
	bool stay = s->user && !strcmp(s->user, CONFINE_STAY);
	struct confine_user u;
	int r;

	confine_bounds();
	if (geteuid() == 0 && !stay) {
		r = confine_find_user(s->user, &u, e);
		if (r == 0)
			r = confine_become(&u, e);
		if (r < 0)
			return r;
	} else if (s->user && !stay) {
		return err_set(e, -EPERM, "--user=%s: only root can become another user", s->user);
	}
	return confine_capabilities(e);
}

static int serve(struct settings *s)
{
	static struct server server;
	static struct counters count;
	static struct log log;
	struct err e = { 0 };
	int r, listener = listen_tcp(&s->port, &e);

	if (listener < 0)
		return fail(&e);
	tzset();
	log_open(&log, STDERR_FILENO, "");
	if (confine(s, &e) < 0)
		return fail(&e);
	if (server_open(&server, &s->server, listener, &log, &count, &e) < 0)
		return fail(&e);
	log_line(&log, "listening on port %u...", s->port);
	r = server_run(&server, &e);
	server_close(&server);
	close(listener);
	log_close(&log);
	return r < 0 ? fail(&e) : EXIT_FINE;
}

int main(int argc, char **argv)
{
	struct settings s = {
		.port = DAYTIME_PORT,
		.server = {
			.drain_ns = 5 * 1000000000LL,
			.drain_bytes = 65536,
			.max_connections = 1000,
			.grace_ns = 2 * 1000000000LL,
		},
	};
	int done;

	if (argc == 2 && !strcmp(argv[1], "--describe-options")) {
		opts_describe(&usage);
		return EXIT_FINE;
	}
	done = parse(&s, argc, argv);
	return done >= 0 ? done : serve(&s);
}
