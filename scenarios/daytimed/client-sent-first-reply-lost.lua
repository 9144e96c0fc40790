-- SPDX-License-Identifier: MIT
scenario {
	title = "A client that sent bytes first loses nothing, even when the reply is lost on the way",
	source = "daytimed(8); RFC 1122 4.2.2.13; RFC 2525 2.17",
	rfc = "3.6.1",
	loss = false, -- its textbook server sends a reset, which is never sent again
	shows = [[Both servers' replies are lost once. daytimed has read what the client sent, and its kernel sends reply and
FIN again. The textbook server closes with bytes unread: that is a reset, and nobody sends the reply again.]],
}

local daytimed = server:run("daytimed", "--user=none", "--drain-time=60s", server.port)
local port = daytimed:listens()
local lost = wire.drop({ from = server, data = true, nth = 1 })
local c = client:connect(server, port)
lost:caught()
c:write("hello?")
check(#c:read() == 25, "the whole reply")
c:reads_end()
observe("daytimed: the reply came, and then a FIN.")
c:close()
expect(client, "gone")
expect(server, "TIME_WAIT")
expect_packet(server, { flags = "RST", count = 0 })

step("The textbook server: write, close, with the client's bytes unread.")
local listener = server:listen(1300)
local d = client:connect(server, 1300)
local s = listener:accept()
d:write("hello?")
expect(server, "ESTABLISHED", { recv_q = 6, connection = 2 })
wire.drop({ from = server, data = true }) -- again, too, where the close is late
s:write("Sun Nov 22 11:02:45 2026\n")
s:close()
expect(server, "gone", { connection = 2 })
expect(client, "gone", { connection = 2 })
d:read(100, { fails = "ECONNRESET" })
expect_packet(server, { flags = "RST", connection = 2 })
