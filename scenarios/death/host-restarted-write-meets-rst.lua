-- SPDX-License-Identifier: MIT
scenario {
	title = "The peer's host has restarted",
	source = "RFC 9293 3.5.1, figure 9 (half-open connection discovery)",
	rfc = "3.5.1",
	shows = [[The server's host was off for a moment, and knows nothing of the connection. The client's next segment
belongs to no connection there, and is answered with RST.]],
}

local daemon = server:process("daemon")
local listener = daemon:listen()
local c = client:connect(server)
local s = listener:accept()

step("Power fails at the server, and comes back.")
wire.cut()
daemon:kill("KILL")
daemon:exits()
wire.inject(server, { flags = "RST" })
expect(server, "gone")
wire.mend()
expect(client, "ESTABLISHED")
observe("Half-open: only the client believes in the connection.")

step("The client writes.")
c:write("still there?")
c:read(1, { fails = "ECONNRESET" })
expect(client, "gone")
expect_packet(server, { flags = "RST" })
