-- SPDX-License-Identifier: MIT
scenario {
	title = "An old FIN comes back",
	source = "RFC 9293 3.10.7.4, first: check sequence number; Linux tcp_validate_incoming()",
	rfc = "3.10.7.4",
	shows = [[A FIN from before the window, as a duplicate of an earlier incarnation would be, is answered with an ACK
and ignored: in FIN_WAIT_2 as in CLOSE_WAIT.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
s:write("hello")
check(c:read(5) == "hello", "the client reads the reply")
c:close()
expect(client, "FIN_WAIT_2")
expect(server, "CLOSE_WAIT")
wire.quiet()

step("A FIN with an old sequence number arrives at the client, then at the server.")
wire.inject(client, { flags = "FIN ACK", seq = 1, ack = 1 })
wire.inject(server, { flags = "FIN ACK", seq = 0, ack = 1 })
wire.quiet()
expect(client, "FIN_WAIT_2")
expect(server, "CLOSE_WAIT", { orphan = false })
observe("Nothing has changed.")
s:close()
expect(server, "gone")
expect(client, "TIME_WAIT")
