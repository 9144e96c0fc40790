-- SPDX-License-Identifier: MIT
scenario {
	title = "A reset, and an abort, after SYNs have crossed",
	source = "RFC 9293 3.5 figure 7, 3.10.7.4 (SYN-RECEIVED); Linux tcp_rcv_synsent_state_process(), tcp_need_reset()",
	rfc = "3.10.7.4",
	shows = [[A SYN that comes where a SYN ACK was awaited takes the client to SYN_RECV, although it called connect().
A reset there ends its connect() with ECONNRESET; its own close() with SO_LINGER 0 there sends one.]],
}

local unanswered = wire.drop { from = client, flags = "SYN" }
local function crossed(n)
	local c = client:process("caller"):socket()
	c:nonblocking()
	c:connect(server, server.port, { fails = "EINPROGRESS" })
	unanswered:caught(2 * n - 1)
	expect(client, "SYN_SENT", { connection = n })
	wire.inject(client, { flags = "SYN", seq = 0, connection = n })
	unanswered:caught(2 * n)
	expect(client, "SYN_RECV", { connection = n })
	return c
end

local c = crossed(1)
expect_packet(client, { flags = "SYN ACK", connection = 1 })
observe("SYN_RECV at an end that called connect().")
wire.inject(client, { flags = "RST", seq = 1 })
expect(client, "gone")
c:read(1, { fails = "ECONNRESET" })
c:close()
expect_packet(client, { flags = "RST", count = 0 })
expect_path(client, "SYN_SENT", "SYN_RECV", "gone")

step("SO_LINGER 0 and close() in SYN_RECV.")
c = crossed(2)
c:set("SO_LINGER", 0)
c:close()
expect(client, "gone", { connection = 2 })
expect_packet(client, { flags = "RST", count = 1, connection = 2 })
expect(server, "gone", { connection = 2 })
