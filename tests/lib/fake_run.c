/* SPDX-License-Identifier: MIT */
#include "fake_run.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAC "\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x08\x00"

struct maker {
	struct tl_run *run;
	int64_t t_us;
	uint8_t state[2];
	uint16_t conn;
	uint32_t sent[2]; /* relative sequence numbers */
	uint16_t ip_id;
};

static struct tcp_addr host(const char *text, uint16_t port)
{
	struct tcp_addr a = { 0 };

	tcp_addr_parse_host(&a, text);
	a.port = port;
	return a;
}

static void begin(struct maker *m, struct tl_run *run, const char *name, const char *title)
{
	*m = (struct maker){ .run = run };
	snprintf(run->name, sizeof(run->name), "%s", name);
	snprintf(run->title, sizeof(run->title), "%s", title);
	snprintf(run->rfc, sizeof(run->rfc), "3.6");
	run->status = TL_PASSED;
	run->host[0] = host("10.0.0.1", 0);
	run->host[1] = host("10.0.0.2", 0);
	run->conns[0].addr[0] = host("10.0.0.1", 36342);
	run->conns[0].addr[1] = host("10.0.0.2", 13);
	run->nconns = 1;
	run->started_ns = 1795345200123456000LL;
	run->setup_us = 11400;
	m->state[1] = TCPS_LISTEN;
}

static struct tl_event *event(struct maker *m, uint8_t kind, uint8_t from, int64_t after_us)
{
	struct tl_event *v = &m->run->events[m->run->nevents++];

	m->t_us += after_us;
	*v = (struct tl_event){ .t_us = m->t_us, .kind = kind, .from = from, .conn = m->conn };
	for (unsigned i = 0; i < 2; i++)
		v->before[i].state = v->after[i].state = m->state[i];
	return v;
}

static void become(struct maker *m, struct tl_event *v, int client, int server)
{
	const int next[2] = { client, server };

	for (unsigned i = 0; i < 2; i++)
		if (next[i] >= 0)
			v->after[i].state = m->state[i] = (uint8_t)next[i];
}

static uint32_t add16(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

static void add_frame(struct maker *m, struct tl_packet *p, uint8_t from)
{
	struct tl_run *run = m->run;
	const struct tl_conn *c = &run->conns[m->conn];
	uint8_t *f = run->frames + run->frames_len, *ip = f + 14, *tcp = ip + 20;
	uint32_t len = 54u + p->len, base[2] = { 1000, 5000 };
	uint16_t sum;

	memcpy(f, MAC, 14);
	ip[0] = 0x45;
	put16(ip + 2, 40u + p->len);
	put16(ip + 4, ++m->ip_id);
	ip[8] = 64;
	ip[9] = 6;
	memcpy(ip + 12, c->addr[from].bytes, 4);
	memcpy(ip + 16, c->addr[!from].bytes, 4);
	sum = fold(add16(0, ip, 20));
	memcpy(ip + 10, &sum, 2);
	put16(tcp, c->addr[from].port);
	put16(tcp + 2, c->addr[!from].port);
	put32(tcp + 4, base[from] + p->seq);
	put32(tcp + 8, p->flags & TL_ACK ? base[!from] + p->ack : 0);
	tcp[12] = 0x50;
	tcp[13] = p->flags;
	put16(tcp + 14, p->window);
	memset(tcp + 20, 'x', p->len);
	sum = fold(add16(add16(6 + 20u + p->len, ip + 12, 8), tcp, 20u + p->len));
	memcpy(tcp + 16, &sum, 2);
	p->frame_off = run->frames_len;
	p->frame_len = len;
	run->frames_len += len;
}

static struct tl_event *packet(struct maker *m, uint8_t from, uint8_t flags, uint16_t len,
			       int client, int server)
{
	struct tl_event *v = event(m, TL_PACKET, from, 31);

	v->packet = (struct tl_packet){ .flags = flags,
					.len = len,
					.seq = m->sent[from],
					.ack = m->sent[!from],
					.window = 65160 };
	m->sent[from] += len + !!(flags & TL_SYN) + !!(flags & TL_FIN);
	add_frame(m, &v->packet, from);
	become(m, v, client, server);
	return v;
}

/* The same packet again, or another fate of it. */
static struct tl_event *again(struct maker *m, const struct tl_event *first, uint8_t fate,
			      int64_t after_us)
{
	struct tl_event *v = event(m, TL_PACKET, first->from, after_us);

	v->packet = first->packet;
	v->packet.fate = fate;
	return v;
}

static struct tl_event *call(struct maker *m, uint8_t side, const char *name, const char *detail,
			     int64_t result)
{
	struct tl_event *v = event(m, TL_CALL, side, 52);

	snprintf(v->call.name, sizeof(v->call.name), "%s", name);
	snprintf(v->call.detail, sizeof(v->call.detail), "%s", detail);
	snprintf(v->call.comm, sizeof(v->call.comm), "%s", side ? "daytimed" : "daytime");
	v->call.pid = side ? 70 : 71;
	v->call.fd = strcmp(name, "exit") ? (side ? 5 : 3) : -1;
	v->call.result = result;
	v->call.returned = true;
	return v;
}

static void step(struct maker *m, const char *text)
{
	struct tl_event *v = event(m, TL_STEP, TL_NOBODY, 40);

	v->conn = TL_NO_CONN;
	snprintf(v->text, sizeof(v->text), "%s", text);
}

static void expect(struct maker *m, uint8_t side, const char *wanted, const char *seen)
{
	struct tl_expect *x = &m->run->expects[m->run->nexpects++];

	*x = (struct tl_expect){
		.side = side, .passed = !seen, .event = (uint16_t)m->run->nevents, .t_us = m->t_us
	};
	snprintf(x->wanted, sizeof(x->wanted), "%s", wanted);
	snprintf(x->seen, sizeof(x->seen), "%s", seen ? seen : wanted);
	snprintf(x->where, sizeof(x->where), "%.40s.lua:%u", m->run->name, 10 + m->run->nexpects);
}

static struct tl_observation *observe(struct maker *m, const char *title)
{
	struct tl_event *v = event(m, TL_OBSERVE, TL_NOBODY, 70);
	struct tl_observation *o = &m->run->observations[m->run->nobservations];

	v->observation = (uint16_t)m->run->nobservations++;
	o->t_us = m->t_us;
	o->conn = m->conn;
	snprintf(o->title, sizeof(o->title), "%s", title);
	for (unsigned i = 0; i < 2; i++) {
		o->ends[i].sample.state = m->state[i];
		o->ends[i].sample.local = m->run->conns[m->conn].addr[i];
		o->ends[i].sample.peer = m->run->conns[m->conn].addr[!i];
		o->ends[i].holders_known = true;
	}
	return o;
}

static void held_by(struct tl_end *end, int pid, int fd, const char *comm)
{
	struct tl_holder *h = &end->holders[end->nholders++];

	end->sample.inode = 4711;
	h->pid = pid;
	h->fd = fd;
	snprintf(h->comm, sizeof(h->comm), "%s", comm);
}

static void timer(struct tl_end *end, uint8_t kind, uint32_t ms)
{
	end->sample.timer = kind;
	end->sample.timer_ms = ms;
}

static void handshake(struct maker *m)
{
	become(m, call(m, 0, "connect", "", 0), TCPS_SYN_SENT, -1);
	packet(m, 0, TL_SYN, 0, -1, TCPS_SYN_RECV);
	packet(m, 1, TL_SYN | TL_ACK, 0, TCPS_ESTABLISHED, -1);
	packet(m, 0, TL_ACK, 0, -1, TCPS_ESTABLISHED);
	call(m, 1, "accept", "", 5);
}

static void reply(struct maker *m)
{
	call(m, 1, "write", "25 bytes", 25);
	packet(m, 1, TL_PSH | TL_ACK, 25, -1, -1);
	packet(m, 0, TL_ACK, 0, -1, -1);
	call(m, 0, "read", "25 bytes", 25);
}

static void server_never_closes(struct maker *m)
{
	struct tl_observation *o;

	snprintf(m->run->source, sizeof(m->run->source), "experiment 2");
	snprintf(m->run->shows, sizeof(m->run->shows),
		 "The server answers and keeps the socket.\nThe client closes, and waits for a FIN "
		 "that does not come.");
	snprintf(m->run->conclusion[0], sizeof(m->run->conclusion[0]), "passive-close");
	step(m, "the client asks, the server answers");
	handshake(m);
	reply(m);
	step(m, "the client closes, the server does not");
	become(m, call(m, 0, "close", "", 0), TCPS_FIN_WAIT1, -1);
	packet(m, 0, TL_FIN | TL_ACK, 0, -1, TCPS_CLOSE_WAIT);
	call(m, 0, "exit", "0", 0);
	packet(m, 1, TL_ACK, 0, TCPS_FIN_WAIT2, -1)->t_us = m->t_us += 2600;
	expect(m, 0, "FIN_WAIT_2", NULL);
	expect(m, 1, "CLOSE_WAIT", NULL);
	m->run->main_observation = 0;
	o = observe(m, "the client is done, the server is not");
	timer(&o->ends[0], TCP_TIMER_TIME_WAIT, 60000);
	held_by(&o->ends[1], 70, 5, "daytimed");
	o->ends[1].sample.recv_q = 1;
	step(m, "the server is told to close");
	become(m, call(m, 1, "close", "", 0), -1, TCPS_LAST_ACK);
	packet(m, 1, TL_FIN | TL_ACK, 0, TCPS_TIME_WAIT, -1);
	packet(m, 0, TL_ACK, 0, -1, TCPS_GONE);
	expect(m, 0, "TIME_WAIT", NULL);
	expect(m, 1, "gone", NULL);
	timer(&observe(m, "")->ends[0], TCP_TIMER_TIME_WAIT, 60000);
}

/* A FIN is lost and sent again until it comes through; one is held, one copied, one made up. */
static void lost_fin(struct maker *m)
{
	struct tl_event *fin, *ack;

	snprintf(m->run->source, sizeof(m->run->source), "RFC 9293, 3.8.1");
	handshake(m);
	become(m, call(m, 0, "shutdown", "SHUT_WR", 0), TCPS_FIN_WAIT1, -1);
	fin = packet(m, 0, TL_FIN | TL_ACK, 0, -1, -1);
	fin->packet.fate = TL_DROPPED;
	for (int i = 0; i < 9; i++)
		again(m, fin, TL_DROPPED, 200000LL << i)->packet.retransmission = true;
	become(m, again(m, fin, TL_DELIVERED, 100), -1, TCPS_CLOSE_WAIT);
	ack = packet(m, 1, TL_ACK, 0, -1, -1);
	ack->packet.fate = TL_HELD;
	become(m, again(m, ack, TL_RELEASED, 4000), TCPS_FIN_WAIT2, -1);
	again(m, ack, TL_DUPLICATED, 5);
	again(m, fin, TL_INJECTED, 500)->packet.flags = TL_RST;
	become(m, &m->run->events[m->run->nevents - 1], -1, TCPS_GONE);
	call(m, 1, "write", "", -EPIPE);
	become(m, event(m, TL_STATE, 0, 60000000), TCPS_GONE, -1);
}

/* The server's end is not what was expected, and the run stops there. */
static void failing(struct maker *m)
{
	snprintf(m->run->shows, sizeof(m->run->shows), "An expectation that is not met.");
	snprintf(m->run->conclusion[0], sizeof(m->run->conclusion[0]), "passive-close");
	snprintf(m->run->conclusion[1], sizeof(m->run->conclusion[1]), "exit-closes");
	handshake(m);
	reply(m);
	expect(m, 0, "ESTABLISHED", NULL);
	expect(m, 1, "CLOSE_WAIT or LAST_ACK", "ESTABLISHED for 2 s");
	held_by(&observe(m, "where it stopped")->ends[1], 70, 5, "daytimed");
	m->run->status = TL_FAILED;
	snprintf(m->run->error, sizeof(m->run->error),
		 "failing.lua:12: the server did not reach CLOSE_WAIT or LAST_ACK within 2 s");
}

/* Many packets and calls that change nothing, and five more connections. */
static void many(struct maker *m)
{
	struct tl_run *run = m->run;

	handshake(m);
	for (int i = 0; i < 60; i++) {
		call(m, 1, "write", "1000 bytes", 1000);
		packet(m, 1, TL_PSH | TL_ACK, 1000, -1, -1);
		packet(m, 0, TL_ACK, 0, -1, -1);
	}
	for (uint16_t c = 1; c < 6; c++) {
		run->conns[c] = run->conns[0];
		run->conns[c].addr[0].port = (uint16_t)(40000 + c);
		run->nconns = c + 1u;
		m->conn = c;
		m->state[0] = TCPS_GONE;
		m->state[1] = TCPS_LISTEN;
		m->sent[0] = m->sent[1] = 0;
		handshake(m);
	}
	run->events_lost = 3;
	run->frames_lost = 1;
}

/* Names and texts that try to do something to whoever shows them. */
static void hostile(struct maker *m)
{
	struct tl_event *v;
	struct tl_observation *o;

	snprintf(m->run->title, sizeof(m->run->title),
		 "<script>alert(1)</script> & \"more\"\033[2J");
	snprintf(m->run->shows, sizeof(m->run->shows),
		 "</style><img src=x onerror=alert(2)> \xff\xfe");
	m->run->loopback = true;
	v = call(m, 0, "connect", "\033]0;x\a<b>", 0);
	memset(v->call.comm, '\'', sizeof(v->call.comm));
	become(m, v, TCPS_ESTABLISHED, TCPS_ESTABLISHED);
	step(m, "--> ]]> \xe2\x80\xae <svg onload=alert(3)>");
	o = observe(m, "</title><script>");
	held_by(&o->ends[0], 1, 2, "<i>\n\033[31m");
	expect(m, 1, "a & b", "<none>");
	m->run->status = TL_BROKEN;
	snprintf(m->run->error, sizeof(m->run->error), "\"]}</script>\033[0m");
}

static void empty(struct maker *m)
{
	m->run->nconns = 0;
	m->run->status = TL_CANNOT;
	snprintf(m->run->error, sizeof(m->run->error),
		 "user namespaces are switched off (user.max_user_namespaces is 0)");
}

static const struct {
	const char *name, *title;
	void (*make)(struct maker *m);
} fakes[] = {
	{ "server-never-closes", "the server does not close", server_never_closes },
	{ "lost-fin", "the FIN is lost", lost_fin },
	{ "failing", "an expectation is not met", failing },
	{ "many", "more than fits a page", many },
	{ "hostile", "", hostile },
	{ "empty", "nothing could be run", empty },
};

const char *fake_run_name(size_t i)
{
	return i < sizeof(fakes) / sizeof(fakes[0]) ? fakes[i].name : NULL;
}

struct tl_run *fake_run(const char *name)
{
	for (size_t i = 0; i < sizeof(fakes) / sizeof(fakes[0]); i++) {
		struct tl_run *run;
		struct maker m;

		if (strcmp(fakes[i].name, name))
			continue;
		run = calloc(1, sizeof(*run));
		if (!run)
			return NULL;
		begin(&m, run, name, fakes[i].title);
		fakes[i].make(&m);
		run->run_us = m.t_us + 300;
		return run;
	}
	return NULL;
}
