-- SPDX-License-Identifier: MIT
scenario {
	title = "connect() to nobody ends a connection with a reset",
	source = "connect(2), AF_UNSPEC; Linux tcp_disconnect(), tcp_need_reset()",
	rfc = "3.10.5",
	loss = false, -- a reset is never sent again
	shows = [[A connect() to AF_UNSPEC dissolves the connection and keeps the socket: the peer gets RST, in
ESTABLISHED as in CLOSE_WAIT, where close() would have sent a FIN. The same descriptor then connects again.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
s:begin("read")
c:disconnect()
s:finish { fails = "ECONNRESET" }
expect(client, "gone")
expect(server, "gone")
expect_packet(client, { flags = "RST", count = 1 })
expect_packet(client, { flags = "FIN", count = 0 })
observe("Reset; the client's descriptor is open.")
c:write("x", { fails = "ECONNRESET" })
c:write("x", { fails = "EPIPE" })
s:close()

step("The same socket connects again.")
c:connect(server, server.port)
s = listener:accept()
c:write("again")
check(s:read(5) == "again", "the second connection works")

step("The server closes, and the client disconnects in CLOSE_WAIT.")
s:shutdown("write")
expect(client, "CLOSE_WAIT", { connection = 2 })
c:disconnect()
expect(client, "gone", { connection = 2 })
expect(server, "gone", { connection = 2 })
expect_packet(client, { flags = "RST", count = 1, connection = 2 })
expect_path(client, "ESTABLISHED", "CLOSE_WAIT", "gone", { connection = 2 })
