/* SPDX-License-Identifier: MIT */
/* daytimed: the daytime server. Reads the options, binds, gives up its privileges, serves. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "cmd/daytime_opts.h"
#include "daytime/confine.h"
#include "daytime/listen.h"
#include "daytime/log_writer.h"
#include "daytime/notify.h"
#include "daytime/server.h"
#include "daytime/workers.h"

#define LOG_END_MS 1000 /* how long the end waits for the log */

enum {
	OPT_AFTER = 256,
	OPT_ADDRESS,
	OPT_UTC,
	OPT_CRLF,
	OPT_LABEL,
	OPT_HEALTH,
	OPT_DRAIN_TIME,
	OPT_DRAIN_BYTES,
	OPT_MAX_CONNECTIONS,
	OPT_MAX_PER_SOURCE,
	OPT_GRACE,
	OPT_UDP,
	OPT_UDP_RATE,
	OPT_UDP_BURST,
	OPT_UDP_RATE_ALL,
	OPT_LOG,
	OPT_SECCOMP,
	OPT_DESCRIBE_SYSCALLS,
};

static const struct opt options[] = {
	{ OPT_AFTER, "after-reply", "WHAT",
	  "close, keep (never close), or hold:DURATION (close that much later, or on SIGUSR1)",
	  "close keep hold:" },
	{ OPT_ADDRESS, "address", "ADDRESS", "listen on this address only", NULL },
	{ OPT_UDP, "udp", NULL, "answer UDP too", NULL },
	{ 'w', "workers", "N", "serve with this many processes (1)", NULL },
	{ 'u', "user", "NAME",
	  "become this user once the port is bound; none: stay root (daytimed, else nobody)",
	  NULL },
	{ 'f', "format", "FORM",
	  "what the reply looks like: asctime, rfc3339, nist, or a strftime format (asctime)",
	  "asctime rfc3339 nist" },
	{ OPT_UTC, "utc", NULL, "tell UTC, not local time", NULL },
	{ OPT_CRLF, "crlf", NULL, "end the reply in CR LF, not LF", NULL },
	{ OPT_LABEL, "label", "TEXT", "the time scale's name in the nist form (UTC(NIST))", NULL },
	{ OPT_HEALTH, "health", "DIGIT",
	  "the health digit of the nist form: 0 to 4, or auto: as the kernel's clock says (auto)",
	  "auto 0 1 2 3 4" },
	{ OPT_DRAIN_TIME, "drain-time", "DURATION",
	  "reset a client that has not closed this long after its reply (5s)", NULL },
	{ OPT_DRAIN_BYTES, "drain-bytes", "BYTES",
	  "reset a client that sends more than this (65536)", NULL },
	{ OPT_MAX_CONNECTIONS, "max-connections", "N", "connections at a time (1000)", NULL },
	{ OPT_MAX_PER_SOURCE, "max-per-source", "N",
	  "of these, from one IPv4 address or IPv6 /64 (100)", NULL },
	{ OPT_UDP_RATE, "udp-rate", "N", "UDP replies a second to one source (1)", NULL },
	{ OPT_UDP_BURST, "udp-burst", "N", "of these, at once after a rest (5)", NULL },
	{ OPT_UDP_RATE_ALL, "udp-rate-all", "N", "UDP replies a second in all (1000)", NULL },
	{ OPT_GRACE, "grace", "DURATION",
	  "how long SIGTERM waits for connections that are open (2s)", NULL },
	{ OPT_LOG, "log", "LEVEL",
	  "quiet; events: what goes wrong, once a second; connections: each one (events)",
	  "quiet events connections" },
	{ OPT_SECCOMP, "seccomp", "ACTION",
	  "a system call that is not on the list: kill the process, or errno: refuse it (kill)",
	  "kill errno" },
	{ OPT_DESCRIBE_SYSCALLS, "describe-syscalls", NULL,
	  "print the system calls that each process may make once it serves, and end", NULL },
	OPTS_COMMON,
	OPTS_END,
};

static const struct usage usage = {
	.name = "daytimed",
	.operands = "[port]",
	.summary =
		"Daytime server (RFC 867) that closes its connections correctly, or not, on request",
	.opts = options,
	.more = "The port is 13 unless given; 0 lets the kernel choose. Stops on SIGTERM; SIGUSR2 shows\n"
		"what was done so far, as one line of JSON.\n",
};

struct settings {
	struct server_config server;
	struct listen_spec listen;
	const char *user;
	bool udp;
	bool seccomp_errno;
	bool describe_syscalls;
	uint64_t workers, udp_rate, udp_burst, udp_rate_all;
};

/* The options whose argument is a number or a duration, with where it goes and what it may be. */
struct number {
	int id;
	enum {
		AS_U64,
		AS_U32,
		AS_DURATION
	} kind;
	void *value;
	uint64_t min, max; /* of a duration: none */
};

static int take_number(const struct number *n, const char *arg, struct err *e)
{
	uint64_t value;

	if (n->kind == AS_DURATION)
		return daytime_duration(arg, n->value, e);
	if (num_u64(arg, n->min, n->max, &value) < 0)
		return err_set(e, -EINVAL, "'%s' is no number from %llu to %llu", arg,
			       (unsigned long long)n->min, (unsigned long long)n->max);
	if (n->kind == AS_U32)
		*(uint32_t *)n->value = (uint32_t)value;
	else
		*(uint64_t *)n->value = value;
	return 0;
}

static int parse_number(struct settings *s, int id, const char *arg, struct err *e)
{
	struct server_config *c = &s->server;
	const struct number numbers[] = {
		{ 'w', AS_U64, &s->workers, 1, WORKERS_MAX },
		{ OPT_DRAIN_TIME, AS_DURATION, &c->drain_ns, 0, 0 },
		{ OPT_DRAIN_BYTES, AS_U64, &c->drain_bytes, 0, 1ULL << 40 },
		{ OPT_MAX_CONNECTIONS, AS_U32, &c->max_connections, 1, 1000000 },
		{ OPT_MAX_PER_SOURCE, AS_U32, &c->max_per_source, 1, 1000000 },
		{ OPT_GRACE, AS_DURATION, &c->grace_ns, 0, 0 },
		{ OPT_UDP_RATE, AS_U64, &s->udp_rate, 1, 1000000 },
		{ OPT_UDP_BURST, AS_U64, &s->udp_burst, 1, 1000000 },
		{ OPT_UDP_RATE_ALL, AS_U64, &s->udp_rate_all, 1, 1000000000 },
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (numbers[i].id == id)
			return take_number(&numbers[i], arg, e);
	return -EINVAL;
}

static int parse_after(struct server_config *c, const char *word, struct err *e)
{
	static const enum after_reply meaning[] = { AFTER_CLOSE, AFTER_KEEP, AFTER_HOLD };
	int r = daytime_after(word, "keep", &c->hold_ns, e);

	if (r < 0)
		return r;
	c->after = meaning[r];
	return 0;
}

static int parse_label(struct settings *s, const char *label, struct err *e)
{
	if (strlen(label) >= sizeof(s->server.format.label) || !*label)
		return err_set(e, -EINVAL, "--label is 1 to %zu bytes long",
			       sizeof(s->server.format.label) - 1);
	strcpy(s->server.format.label, label);
	return 0;
}

static int parse_health(struct settings *s, const char *word, struct err *e)
{
	uint64_t digit;

	if (!strcmp(word, "auto")) {
		s->server.health = -1;
		return 0;
	}
	if (num_u64(word, 0, 4, &digit) < 0)
		return err_set(e, -EINVAL, "--health is auto or 0 to 4, not '%s'", word);
	s->server.health = (int)digit;
	return 0;
}

static int parse_log(struct settings *s, const char *word, struct err *e)
{
	static const char *const levels[] = { "quiet", "events", "connections" };

	for (int i = LOG_QUIET; i <= LOG_CONNECTIONS; i++) {
		if (!strcmp(word, levels[i])) {
			s->server.log_level = (enum log_level)i;
			return 0;
		}
	}
	return err_set(e, -EINVAL, "--log is quiet, events or connections, not '%s'", word);
}

static int parse_option(void *settings, int id, const char *arg, struct err *e)
{
	struct settings *s = settings;

	switch (id) {
	case OPT_AFTER:
		return parse_after(&s->server, arg, e);
	case 'f':
		return daytime_format_parse(&s->server.format, arg, e);
	case OPT_LABEL:
		return parse_label(s, arg, e);
	case OPT_HEALTH:
		return parse_health(s, arg, e);
	case OPT_LOG:
		return parse_log(s, arg, e);
	case OPT_SECCOMP:
		s->seccomp_errno = !strcmp(arg, "errno");
		if (!s->seccomp_errno && strcmp(arg, "kill") != 0)
			return err_set(e, -EINVAL, "--seccomp is kill or errno, not '%s'", arg);
		return 0;
	case OPT_ADDRESS:
		s->listen.address = arg;
		return 0;
	case 'u':
		s->user = arg;
		return 0;
	case OPT_UTC:
		s->server.format.utc = true;
		return 0;
	case OPT_CRLF:
		s->server.format.crlf = true;
		return 0;
	case OPT_UDP:
		s->udp = true;
		return 0;
	case OPT_DESCRIBE_SYSCALLS:
		s->describe_syscalls = true;
		return 0;
	default:
		return parse_number(s, id, arg, e);
	}
}

/* Returns -1 to go on, or an exit code. */
static int parse(struct settings *s, int argc, char **argv)
{
	int rest, code = daytime_options(&usage, argc, argv, parse_option, s, &rest);

	if (code >= 0)
		return code;
	if (argc - rest > 1)
		return opts_misuse(&usage, "one port at most, not '%s' as well", argv[rest + 1]);
	if (argc - rest == 1 && num_port(argv[rest], &s->listen.port) < 0)
		return opts_misuse(&usage, "'%s' is no port; it is a number from 0 to 65535",
				   argv[rest]);
	return -1;
}

/* Everything that serving needs; one of it, and nothing of it is freed before the end. */
static struct {
	struct activation passed;
	int listener[WORKERS_MAX]; /* worker i serves listener[i]; one process serves them all */
	unsigned listeners;
	int notify;
	bool serve_udp;
	struct udp udp;
	struct sources sources;
	struct server server;
	struct log log;
	struct workers workers;
} run;

/* The port of the first socket that the service manager passed, for the log and for UDP. */
static int name_port(struct settings *s, struct err *e)
{
	int r = listen_port(run.listener[0], &s->listen.port);

	return r < 0 ? err_errno(e, r, "cannot tell the port") : 0;
}

/* Opens one listener per worker on one port, or takes what the service manager passed. */
static int open_tcp(struct settings *s, struct err *e)
{
	if (run.passed.tcp_count + run.passed.udp_count > 0) {
		run.listeners = run.passed.tcp_count;
		memcpy(run.listener, run.passed.tcp, sizeof(run.passed.tcp));
		return run.listeners > 0 ? name_port(s, e) : 0;
	}
	s->listen.shared = s->workers > 1;
	for (unsigned i = 0; i < s->workers; i++) {
		int fd = listen_tcp(&s->listen, &s->listen.port, e);

		if (fd < 0)
			return fd;
		run.listener[run.listeners++] = fd;
	}
	return 0;
}

static int open_udp(struct settings *s, struct err *e)
{
	struct udp *u = &run.udp;
	struct listen_spec spec = s->listen;
	int r;

	u->per_source = (struct rate){ CLOCK_NS_PER_S / (int64_t)s->udp_rate,
				       (int64_t)s->udp_burst };
	u->all = (struct rate){ CLOCK_NS_PER_S / (int64_t)s->udp_rate_all,
				(int64_t)s->udp_rate_all };
	if (run.passed.udp_count > 0) {
		u->fd = run.passed.udp[0];
		r = listen_udp_adopt(u->fd, e);
		if (r == 0)
			r = listen_port(u->fd, &u->port);
		run.serve_udp = r == 0;
		return r;
	}
	if (!s->udp)
		return 0;
	spec.shared = false;
	u->fd = listen_udp(&spec, &u->port, e);
	run.serve_udp = u->fd >= 0;
	return u->fd < 0 ? u->fd : 0;
}

static int open_sockets(struct settings *s, struct err *e)
{
	int r = activation_take(&run.passed, e);

	if (r >= 0 && run.passed.udp_count > 1)
		r = err_set(e, -EINVAL, "more than one UDP socket from the service manager");
	if (r >= 0 && run.passed.tcp_count + run.passed.udp_count > 0 && s->workers > 1)
		r = err_set(
			e, -EINVAL,
			"--workers needs listeners of its own, not sockets from a service manager");
	if (r >= 0)
		r = open_tcp(s, e);
	if (r >= 0)
		r = open_udp(s, e);
	if (r >= 0)
		r = notify_open(&run.notify, e);
	return r;
}

/* Gives up root. A server that was started as root serves as another user, or as root where it was
 * told so, or not at all. */
static int become_user(const struct settings *s, struct err *e)
{
	bool stay = s->user && !strcmp(s->user, CONFINE_STAY);
	struct confine_user u;
	int r;

	r = confine_bounds(e);
	if (r < 0)
		return r;
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

static unsigned parts(const struct settings *s)
{
	return (run.serve_udp ? CONFINE_UDP : 0U) |
	       (s->server.format.kind == DAYTIME_NIST ? CONFINE_CLOCK : 0U) |
	       (run.log.polled || run.log.writer_lost ? CONFINE_POLLED_LOG : 0U);
}

/* Serves as the only process, or as one of several. */
static int serve(const struct settings *s, const int *listener, unsigned count,
		 struct counters *counters, bool alone, int ready, struct err *e)
{
	struct udp *udp = run.serve_udp ? &run.udp : NULL;
	int r = server_open(&run.server, &s->server, listener, count, &run.sources, udp, &run.log,
			    counters, e);

	if (r == 0)
		r = confine_syscalls(parts(s), !s->seccomp_errno, e);
	if (r < 0)
		return r;
	if (alone) {
		log_line(&run.log, "listening on port %u...", s->listen.port);
		notify_send(run.notify, "READY=1");
		run.server.notify = run.notify;
	} else if (write(ready, "", 1) != 1) {
		return err_errno(e, -errno, "cannot tell that this worker is ready");
	}
	return server_run(&run.server, e);
}

static int fail(const struct err *e)
{
	log_line(&run.log, "daytimed: %s", e->text);
	return EXIT_CANNOT;
}

static void last_report(struct counters *c)
{
	char json[COUNTERS_JSON_MAX];

	c->log_lines_lost += log_lost(&run.log);
	log_line(&run.log, "%s", counters_json(c, json));
}

static int serve_alone(const struct settings *s)
{
	static struct counters counters;
	struct err e = { 0 };
	int r = serve(s, run.listener, run.listeners, &counters, true, -1, &e);

	if (r < 0)
		return fail(&e);
	counters.log_lines_lost = 0;
	last_report(&counters);
	return EXIT_FINE;
}

static int worker(unsigned index, int ready, void *arg)
{
	const struct settings *s = arg;
	struct counters *counters = &run.workers.counters[index];
	struct err e = { 0 };
	int r, code;

	for (unsigned i = 0; i < run.listeners; i++)
		if (i != index)
			close(run.listener[i]);
	run.serve_udp &= index == 0; /* one socket, one reader: the rates are then true */
	r = serve(s, &run.listener[index], 1, counters, false, ready, &e);
	code = r < 0 ? fail(&e) : EXIT_FINE;
	log_end(&run.log);
	counters->log_lines_lost = run.log.lost;
	return code;
}

static int serve_with_workers(struct settings *s)
{
	struct counters sum;
	struct err e = { 0 };
	int r = workers_open(&run.workers, (unsigned)s->workers, &run.log, run.notify, &e);

	if (r == 0)
		r = workers_start(&run.workers, worker, s, &e);
	if (r < 0)
		return fail(&e);
	for (unsigned i = 0; i < run.listeners; i++)
		close(run.listener[i]);
	r = confine_syscalls(CONFINE_SUPERVISE | (parts(s) & CONFINE_POLLED_LOG), !s->seccomp_errno,
			     &e);
	if (r < 0)
		return fail(&e); /* the workers end with this process */
	log_line(&run.log, "listening on port %u...", s->listen.port);
	notify_send(run.notify, "READY=1");
	r = workers_watch(&run.workers, &e);
	sum = workers_sum(&run.workers);
	last_report(&sum);
	return r < 0 ? fail(&e) : EXIT_FINE;
}

/* The limit of open files bounds the table: a connection that is admitted has its descriptor. */
static void fit_table(struct settings *s)
{
	static const unsigned long others = 32; /* descriptors besides the connections' */
	unsigned long may = confine_open_files(s->server.max_connections + others);

	if (may >= s->server.max_connections + others)
		return;
	s->server.max_connections = may > 2 * others ? (uint32_t)(may - others) : (uint32_t)others;
	log_line(&run.log, "only %lu files may be open: %u connections at a time", may,
		 s->server.max_connections);
}

/* What limits go by, for all workers. */
static int open_sources(const struct settings *s, struct err *e)
{
	uint64_t seed;

	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		return err_errno(e, -errno, "getrandom");
	if (sources_open(&run.sources, s->server.max_connections, seed) < 0)
		return err_set(e, -ENOMEM, "no memory for %u connections",
			       s->server.max_connections);
	return 0;
}

static int start(struct settings *s)
{
	struct err e = { 0 };
	int code;

	signal(SIGPIPE, SIG_IGN);           /* a log that nobody reads any more ends nothing */
	setenv("TZ", ":/etc/localtime", 0); /* unset, strftime() would read the file each time */
	tzset();
	log_open(&run.log, STDERR_FILENO, "");
	fit_table(s);
	if (open_sockets(s, &e) < 0 || open_sources(s, &e) < 0 || become_user(s, &e) < 0)
		return fail(&e);
	if (log_writer_start(&run.log, !s->seccomp_errno, &e) < 0)
		return fail(&e);
	code = s->workers > 1 ? serve_with_workers(s) : serve_alone(s);
	log_writer_end(&run.log, LOG_END_MS);
	return code;
}

static void describe(const char *process, unsigned parts)
{
	const char *names[CONFINE_SYSCALLS_MAX + 1];

	confine_names(parts, names);
	printf("%s:", process);
	for (size_t i = 0; names[i]; i++)
		printf(" %s", names[i]);
	printf("\n");
}

/* The system calls that each process of a server with these options may make. */
static int describe_syscalls(const struct settings *s)
{
	describe("server", (s->udp ? CONFINE_UDP : 0U) |
				   (s->server.format.kind == DAYTIME_NIST ? CONFINE_CLOCK : 0U) |
				   CONFINE_POLLED_LOG);
	if (s->workers > 1)
		describe("supervisor", CONFINE_SUPERVISE | CONFINE_POLLED_LOG);
	describe("log-writer", CONFINE_WRITER);
	return fflush(stdout) == 0 ? EXIT_FINE : EXIT_CANNOT;
}

int main(int argc, char **argv)
{
	struct settings s = {
		.listen = { .port = DAYTIME_PORT },
		.workers = 1,
		.udp_rate = 1,
		.udp_burst = 5,
		.udp_rate_all = 1000,
		.server = {
			.log_level = LOG_EVENTS,
			.drain_ns = 5 * CLOCK_NS_PER_S,
			.drain_bytes = 65536,
			.max_connections = 1000,
			.max_per_source = 100,
			.grace_ns = 2 * CLOCK_NS_PER_S,
			.health = -1,
		},
	};
	int done;

	done = parse(&s, argc, argv);
	if (done >= 0)
		return done;
	s.server.workers = (unsigned)s.workers;
	return s.describe_syscalls ? describe_syscalls(&s) : start(&s);
}
