/* SPDX-License-Identifier: MIT */
#include "report/machine.h"

#include <stddef.h>
#include <string.h>

#include "tcp/state.h"

/* Half a node. The longest name takes 11 letters. */
#define NODE_X 49
#define NODE_Y 13

static const struct {
	uint8_t state;
	int x, y; /* its middle */
} nodes[] = {
	{ TCPS_GONE, 160, 18 },      { TCPS_CLOSE, 52, 18 },        { TCPS_LISTEN, 52, 64 },
	{ TCPS_SYN_SENT, 268, 86 },  { TCPS_SYN_RECV, 52, 110 },    { TCPS_ESTABLISHED, 160, 148 },
	{ TCPS_FIN_WAIT1, 52, 196 }, { TCPS_CLOSE_WAIT, 268, 196 }, { TCPS_FIN_WAIT2, 52, 248 },
	{ TCPS_CLOSING, 160, 248 },  { TCPS_LAST_ACK, 268, 248 },   { TCPS_TIME_WAIT, 160, 300 },
};

/* The arcs of the figure, each a path between the edges of its nodes. A reset leads from every
 * state to gone; those are not drawn. CLOSED, a socket whose connection a reset has taken, has none
 * but those. */
static const struct {
	uint8_t from, to;
	const char *path;
} arcs[] = {
	{ TCPS_GONE, TCPS_LISTEN, "M130 31 L86 51" },
	{ TCPS_GONE, TCPS_SYN_SENT, "M190 31 L246 73" },
	{ TCPS_GONE, TCPS_SYN_RECV, "M155 31 L84 97" },
	{ TCPS_LISTEN, TCPS_SYN_RECV, "M52 77 L52 97" },
	{ TCPS_SYN_SENT, TCPS_SYN_RECV, "M219 90 L101 108" },
	{ TCPS_SYN_RECV, TCPS_ESTABLISHED, "M84 123 L120 135" },
	{ TCPS_SYN_SENT, TCPS_ESTABLISHED, "M248 99 L190 135" },
	{ TCPS_SYN_RECV, TCPS_FIN_WAIT1, "M40 123 L40 183" },
	{ TCPS_ESTABLISHED, TCPS_FIN_WAIT1, "M130 161 L82 183" },
	{ TCPS_ESTABLISHED, TCPS_CLOSE_WAIT, "M190 161 L238 183" },
	{ TCPS_FIN_WAIT1, TCPS_FIN_WAIT2, "M52 209 L52 235" },
	{ TCPS_FIN_WAIT1, TCPS_CLOSING, "M82 209 L130 235" },
	{ TCPS_FIN_WAIT1, TCPS_TIME_WAIT, "M92 209 Q100 262 136 287" },
	{ TCPS_FIN_WAIT2, TCPS_TIME_WAIT, "M70 261 L118 287" },
	{ TCPS_CLOSING, TCPS_TIME_WAIT, "M160 261 L160 287" },
	{ TCPS_CLOSE_WAIT, TCPS_LAST_ACK, "M268 209 L268 235" },
	{ TCPS_LAST_ACK, TCPS_GONE, "M317 248 Q339 248 339 226 L339 42 Q339 22 317 22 L209 22" },
	{ TCPS_TIME_WAIT, TCPS_GONE,
	  "M209 300 L322 300 Q350 300 350 272 L350 38 Q350 14 326 14 L209 14" },
};

static void add_node(struct buf *out, uint8_t state, int x, int y)
{
	const char *name = tcp_state_name(state);

	buf_printf(out,
		   "<g class=\"node s-%s\" data-state=\"%s\"><rect x=\"%d\" y=\"%d\" width=\"%d\" "
		   "height=\"%d\" rx=\"6\"/><text x=\"%d\" y=\"%d\">%s</text></g>\n",
		   name, name, x - NODE_X, y - NODE_Y, 2 * NODE_X, 2 * NODE_Y, x, y + 4, name);
}

void machine_svg(struct buf *out, const char *end)
{
	buf_printf(out,
		   "<svg class=\"machine\" data-end=\"%s\" viewBox=\"0 0 356 318\" role=\"img\" "
		   "aria-label=\"state machine of the %s\">\n",
		   end, end);
	buf_printf(
		out,
		"<defs><marker id=\"head-%s\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" "
		"markerWidth=\"9\" markerHeight=\"9\" markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" "
		"class=\"arc-head\"/></marker></defs>\n",
		end);
	for (size_t i = 0; i < sizeof(arcs) / sizeof(arcs[0]); i++)
		buf_printf(out,
			   "<path class=\"arc\" data-arc=\"%s %s\" d=\"%s\" "
			   "marker-end=\"url(#head-%s)\"/>\n",
			   tcp_state_name(arcs[i].from), tcp_state_name(arcs[i].to), arcs[i].path,
			   end);
	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
		add_node(out, nodes[i].state, nodes[i].x, nodes[i].y);
	buf_str(out, "</svg>\n");
}
