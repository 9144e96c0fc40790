-- SPDX-License-Identifier: MIT
scenario {
	title = "A reset in LAST_ACK",
	source = "RFC 9293 3.10.7.4 (LAST-ACK: enter CLOSED)",
	rfc = "3.10.7.4",
	shows = [[The server's FIN is lost on its way to the client's TIME_WAIT. A reset does what the ACK would have done:
the server's end is gone, only sooner.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
c:close()
expect(server, "CLOSE_WAIT")
expect(client, "FIN_WAIT_2")
wire.drop { from = server, flags = "FIN" }
s:close()
expect(server, "LAST_ACK", { orphan = true, timer = true })
observe("LAST_ACK: the FIN is sent again and again.")

step("A reset arrives.")
wire.inject(server, { flags = "RST" })
expect(server, "gone")
expect(client, "FIN_WAIT_2", { orphan = true, timer = true })
expect_path(server, "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "gone")
