-- SPDX-License-Identifier: MIT
scenario {
	title = "SO_LINGER 0: close() is a reset",
	source = "RFC 9293 3.9.1.6 (ABORT); Linux __tcp_close(), tcp_disconnect(); socket(7)",
	rfc = "3.9.1.6",
	loss = false, -- a reset is never sent again
	shows = [[With SO_LINGER on and 0 s, close() throws away what was not sent, sends RST, and is done: no FIN_WAIT,
no TIME_WAIT, at neither end. The peer cannot tell whether it has everything.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
s:set("SO_LINGER", 0)
s:close()
expect(server, "gone")
expect(client, "gone")
observe("Both ends are gone within one packet.")
expect_packet(server, { flags = "RST", count = 1 })
expect_packet(server, { flags = "FIN", count = 0 })
c:read(1, { fails = "ECONNRESET" })
c:write("x", { fails = "EPIPE" })
expect_path(server, "ESTABLISHED", "gone")
expect_path(client, "ESTABLISHED", "gone")
