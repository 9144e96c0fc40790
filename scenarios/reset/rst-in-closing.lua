-- SPDX-License-Identifier: MIT
scenario {
	title = "A reset in CLOSING",
	source = "RFC 9293 3.10.7.4 (CLOSING: enter CLOSED)",
	rfc = "3.10.7.4",
	shows = [[Both have closed at once and wait for ACKs. A reset ends it there, without TIME_WAIT.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
wire.hold {}
c:close()
s:close()
expect(client, "FIN_WAIT_1")
expect(server, "FIN_WAIT_1")
wire.release()
expect(client, "CLOSING", { orphan = true })
expect(server, "CLOSING", { orphan = true })
observe("CLOSING at both ends.")

step("A reset arrives at each.")
wire.inject(client, { flags = "RST" })
wire.inject(server, { flags = "RST" })
expect(client, "gone")
expect(server, "gone")
expect_path(client, "ESTABLISHED", "FIN_WAIT_1", "CLOSING", "gone")
expect_path(server, "ESTABLISHED", "FIN_WAIT_1", "CLOSING", "gone")
