-- SPDX-License-Identifier: MIT
scenario {
	title = "Old data, an old FIN, a stray SYN, an ACK of nothing: in each closing state",
	source = "RFC 9293 3.10.7.4, first and fourth; RFC 5961 4.2; Linux tcp_validate_incoming(), tcp_timewait_state_process()",
	rfc = "3.10.7.4",
	shows = [[What does not belong into the window is answered with an ACK and changes nothing, a SYN included: a
challenge ACK asks whoever sent it to prove itself with a reset. TIME_WAIT exists to give just these answers.]],
}

local listener = server:listen()
local n = 0
local function connected()
	n = n + 1
	local c = client:connect(server)
	local s = listener:accept()
	s:write("12345678")
	c:write("12345678")
	check(c:read(8) == "12345678", "the client has read")
	check(s:read(8) == "12345678", "the server has read")
	wire.quiet()
	expect(client, "ESTABLISHED", { send_q = 0, connection = n })
	expect(server, "ESTABLISHED", { send_q = 0, connection = n })
	return c, s, { connection = n }
end
-- The first rule sees every packet, before those that lose some.
local answers = wire.watch {}
local function strays(host, state)
	answers:stop()
	answers = wire.watch { from = host, flags = "ACK", without = "SYN FIN RST", data = false }
	wire.inject(host, { flags = "ACK", seq = 1, ack = 9, length = 4, connection = n })
	answers:caught(1)
	wire.inject(host, { flags = "ACK", seq = 0x20000000, length = 4, connection = n })
	answers:caught(2)
	wire.inject(host, { flags = "FIN ACK", seq = 1, ack = 9, connection = n })
	wire.inject(host, { flags = "SYN", seq = 1, connection = n })
	wire.inject(host, { flags = "ACK", ack = 0x20000000, connection = n })
	wire.quiet()
	expect(host, state, { connection = n })
end

local c, s, here = connected()
step("FIN_WAIT_1.")
local lost = wire.drop { from = client, flags = "FIN" }
c:close()
strays(client, "FIN_WAIT_1")
lost:stop()

c, s, here = connected()
step("FIN_WAIT_2 and CLOSE_WAIT.")
c:close()
expect(client, "FIN_WAIT_2", here)
strays(client, "FIN_WAIT_2")
strays(server, "CLOSE_WAIT")
observe("Unmoved.", here)

step("TIME_WAIT.")
s:close()
expect(client, "TIME_WAIT", here)
expect(server, "gone", here)
-- The answers go to an end that is gone, and what it would say to that is not wanted here.
lost = wire.drop { from = client }
strays(client, "TIME_WAIT")
lost:stop()

c, s, here = connected()
step("LAST_ACK.")
c:close()
expect(client, "FIN_WAIT_2", here)
expect(server, "CLOSE_WAIT", here)
lost = wire.drop {}
s:close()
strays(server, "LAST_ACK")
lost:stop()

c, s, here = connected()
step("CLOSING.")
wire.hold {}
c:close()
s:close()
expect(client, "FIN_WAIT_1", here)
expect(server, "FIN_WAIT_1", here)
wire.release()
expect(client, "CLOSING", here)
expect(server, "CLOSING", here)
strays(client, "CLOSING")
