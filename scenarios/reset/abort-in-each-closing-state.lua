-- SPDX-License-Identifier: MIT
scenario {
	title = "SO_LINGER 0 and close() in each closing state",
	source = "RFC 9293 3.10.5 (ABORT); Linux __tcp_close(), tcp_disconnect(), tcp_need_reset()",
	rfc = "3.10.5",
	loss = false, -- a reset is never sent again
	shows = [[An abort in FIN_WAIT_1, FIN_WAIT_2 or CLOSE_WAIT sends RST, so that both ends are gone. In CLOSING and
LAST_ACK the FIN was sent already and Linux goes without a word: tcp_need_reset() does not count these states.]],
}

local listener = server:listen()
local n = 0
local function connected()
	n = n + 1
	local c = client:connect(server)
	return c, listener:accept(), { connection = n }
end
local function abort(socket)
	socket:set("SO_LINGER", 0)
	socket:close()
end

local c, s, here = connected()
step("FIN_WAIT_1: its FIN is lost.")
local lost = wire.drop { from = client, flags = "FIN" }
c:shutdown("write")
expect(client, "FIN_WAIT_1", here)
lost:caught()
abort(c)
expect(client, "gone", here)
expect(server, "gone", here)
lost:stop()

c, s, here = connected()
step("FIN_WAIT_2.")
c:shutdown("write")
expect(client, "FIN_WAIT_2", here)
abort(c)
expect(client, "gone", here)
expect(server, "gone", here)

c, s, here = connected()
step("CLOSE_WAIT.")
c:shutdown("write")
expect(server, "CLOSE_WAIT", here)
expect(client, "FIN_WAIT_2", here)
abort(s)
expect(server, "gone", here)
expect(client, "gone", here)

c, s, here = connected()
step("LAST_ACK: the ACK of its FIN is lost.")
c:shutdown("write")
expect(server, "CLOSE_WAIT", here)
expect(client, "FIN_WAIT_2", here)
lost = wire.drop { from = client }
s:shutdown("write")
expect(server, "LAST_ACK", here)
lost:caught()
abort(s)
expect(server, "gone", here)
expect(client, "TIME_WAIT", here)
lost:stop()

c, s, here = connected()
step("CLOSING: the ACK of its FIN is lost.")
wire.hold {}
c:shutdown("write")
s:shutdown("write")
expect(client, "FIN_WAIT_1", here)
expect(server, "FIN_WAIT_1", here)
wire.release()
expect(client, "CLOSING", here)
expect(server, "CLOSING", here)
observe("CLOSING at both ends.", here)
abort(c)
expect(client, "gone", here)
