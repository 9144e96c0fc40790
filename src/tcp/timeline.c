/* SPDX-License-Identifier: MIT */
#include "tcp/timeline.h"

#include <string.h>

#include "base/err.h"

const char *const tl_conclusions[TL_CONCLUSIONS] = { "passive-close", "exit-closes" };

char *tl_flags_text(uint8_t flags, char buf[TL_FLAGS_TEXT])
{
	static const struct {
		uint8_t bit;
		const char *name;
	} rows[] = {
		{ TL_SYN, "SYN" }, { TL_FIN, "FIN" }, { TL_RST, "RST" }, { TL_PSH, "PSH" },
		{ TL_URG, "URG" }, { TL_ECE, "ECE" }, { TL_CWR, "CWR" }, { TL_ACK, "ACK" },
	};

	buf[0] = '\0';
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!(flags & rows[i].bit))
			continue;
		if (buf[0])
			strcat(buf, " ");
		strcat(buf, rows[i].name);
	}
	return buf;
}

struct tl_state tl_state_of(const struct tcp_sample *s)
{
	return (struct tl_state){
		.state = s->state,
		.timer = s->timer,
		.shutdown = s->shutdown,
		.retransmits = s->retransmits,
		.orphan = s->state != TCPS_GONE && s->state != TCPS_LISTEN &&
			  s->state != TCPS_SYN_RECV && s->inode == 0,
		.timer_ms = s->timer_ms,
		.recv_q = s->recv_q,
		.send_q = s->send_q,
	};
}

static bool step_is_legal(uint8_t *last, uint8_t next, unsigned side, unsigned event, struct err *e)
{
	if (!tcp_transition_is_legal(*last, next)) {
		err_set(e, -1, "event %u: the %s went from %s to %s", event,
			side == TL_CLIENT ? "client" : "server", tcp_state_name(*last),
			tcp_state_name(next));
		return false;
	}
	*last = next;
	return true;
}

bool tl_run_is_legal(const struct tl_run *run, struct err *e)
{
	for (unsigned c = 0; c < run->nconns; c++) {
		/* What the ends were in before the first event is not known: gone allows all
		 * starts. */
		uint8_t last[2] = { TCPS_GONE, TCPS_GONE };

		for (unsigned i = 0; i < run->nevents; i++) {
			const struct tl_event *v = &run->events[i];

			if (v->conn != c || v->kind == TL_STEP || v->kind == TL_OBSERVE)
				continue;
			for (unsigned side = 0; side < 2; side++) {
				if (!step_is_legal(&last[side], v->before[side].state, side, i,
						   e) ||
				    !step_is_legal(&last[side], v->after[side].state, side, i, e))
					return false;
			}
		}
	}
	return true;
}
