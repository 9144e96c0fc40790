/* SPDX-License-Identifier: MIT */
/* A run from the inside: what its parts share. Only for src/lab/. */
#pragma once

#include <jansson.h>

#include "lab/actor.h"
#include "lab/net.h"
#include "lab/record.h"
#include "lab/run.h"
#include "lab/trace.h"
#include "lab/wire.h"

/* How long a step waits where the script does not say `within`. */
#define LAB_WITHIN_NS (30LL * 1000000000)
/* So much longer where chance takes packets: retransmissions double their distance. */
#define LAB_LOSS_PATIENCE 6

struct op;

/* The request that the script waits for. */
struct pending {
	const struct op *op; /* NULL: none */
	json_t *args;
	int64_t deadline_ns;
	char where[192];
	/* What ops keep meanwhile. */
	int actor;
	uint32_t states;
	uint64_t packets; /* wire_quiet: count at the last look */
	int64_t since_ns;
};

struct lab {
	const struct lab_script *script;
	const struct lab_options *options;
	struct tl_run *run;
	struct lab_net net;
	struct record rec;
	struct wire wire;
	struct trace trace;
	bool own_proc; /* /proc shows the run's own processes */

	struct actor actors[ACTOR_MAX];
	int nactors;
	int posted;    /* Unix socket in which a descriptor waits to be taken; -1 */
	int *failures; /* shared with the children: why a command was not executed */

	int room; /* socket to the script; -1 once it has ended */
	pid_t room_pid;
	struct pending pending;
	uint64_t carried; /* packets so far */
	bool done;        /* the script has ended, or the run was decided */
};

/* What an op answers. */
enum op_result {
	OP_WAIT,  /* not yet: its poll is called again when anything has happened */
	OP_OK,    /* `answer` (may be NULL) goes to the script */
	OP_ERROR, /* the script made a mistake: `error` is raised where it stands */
	OP_STOP,  /* the run is decided: the script ends */
};

struct answer {
	json_t *value;
	struct err error;
};

/* One kind of request. */
struct op {
	const char *name;
	/* Checks the arguments and does what can be done at once. */
	enum op_result (*begin)(struct lab *lab, struct pending *p, struct answer *a);
	/* Looks again; NULL where begin never waits. */
	enum op_result (*poll)(struct lab *lab, struct pending *p, struct answer *a);
	/* Says what was waited for, at the deadline. NULL: "nothing happened". */
	enum op_result (*late)(struct lab *lab, struct pending *p, struct answer *a);
};

extern const struct op ops_actor[], ops_puppet[], ops_expect[], ops_wire[]; /* end in a NULL name */

/* Arguments of a request. Each returns what it names, or what stands for "absent". Strings are
 * copied and cut to fit. */
int64_t arg_int(const struct pending *p, const char *name, int64_t absent);
bool arg_true(const struct pending *p, const char *name);
bool arg_given(const struct pending *p, const char *name);
const char *arg_text(const struct pending *p, const char *name, char *buf, size_t cap);
enum tl_side arg_side(const struct pending *p);
/* The actor named by args.actor, NULL with the answer's error set where there is none. */
struct actor *arg_actor(struct lab *lab, struct pending *p, struct answer *a);
/* The connection named by args.connection (1 is the first), 0-based; TL_NO_CONN where there is none
 * yet. */
uint16_t arg_conn(const struct lab *lab, const struct pending *p);

/* Ends an op with the script's mistake. */
enum op_result op_error(struct answer *a, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Ends an op with what it returns to the script; takes over the reference to `value`. */
enum op_result op_ok(struct answer *a, json_t *value);

/* Decides the run as broken (an actor or the lab failed), with the script's position. */
enum op_result op_broken(struct lab *lab, struct pending *p, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Adds an expectation's outcome; where it failed the run is decided. */
enum op_result lab_expect(struct lab *lab, struct pending *p, enum tl_side side, bool passed,
			  const char *wanted, const char *seen);

/* How long a step that is about a moment waits for the actors to have done what they were about: on
 * a busy machine one may not run for a second. Whoever never sleeps is not waited for any longer.
 */
#define LAB_SETTLE_NS (3000LL * 1000000)

/* Whether all threads of this actor (-1: of every actor) sleep in a call, or are gone. True where
 * it cannot be known. */
bool lab_is_asleep(const struct lab *lab, int actor);

/* Whether every actor sleeps in a call and no packet is under way: what has happened so far is all
 * that comes of it, but for timers. True where it cannot be known. */
bool lab_is_settled(struct lab *lab);

/* Takes an observation of both ends of a connection (observe.c). */
void lab_observe(struct lab *lab, uint16_t conn, const char *title, bool is_main);

/* Takes the next free actor, or NULL with the answer's error set. */
struct actor *lab_new_actor(struct lab *lab, struct answer *a);
