-- SPDX-License-Identifier: MIT
scenario {
	title = "A reset in SYN_RECV",
	source = "RFC 9293 3.10.7.4, second (SYN-RECEIVED); Linux tcp_check_req(), inet_csk_reqsk_queue_drop()",
	rfc = "3.10.7.4",
	shows = [[The client resets before its handshake is complete. The server's request is dropped, and its program never
hears of it: the next connection is the first one it accepts.]],
}

local listener = server:listen()
local held = wire.hold { from = client, flags = "ACK", without = "RST" }
local c = client:connect(server)
expect(server, "SYN_RECV")
c:set("SO_LINGER", 0)
c:close()
expect(client, "gone")
expect(server, "gone")
held:stop()
expect_packet(client, { flags = "RST", count = 1 })
observe("As if nothing had been.")

local c2 = client:connect(server)
local s2 = listener:accept()
c2:write("first")
check(s2:read(5) == "first", "accept() returns the second connection")
expect(server, "ESTABLISHED", { connection = 2, orphan = false })
