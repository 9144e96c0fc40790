-- SPDX-License-Identifier: MIT
scenario {
	title = "A client that sends while the server closes loses nothing",
	source = "daytimed(8); RFC 9293 3.6.1",
	rfc = "3.6.1",
	shows = [[The reply is still on its way when the client's bytes reach a server that has closed. daytimed has not let go of
its end: it reads them. The textbook server's end has no reader any more: its kernel resets, and the reply comes too late.]],
}

local daytimed = server:run("daytimed", "--user=none", "--drain-time=60s", server.port)
local port = daytimed:listens()
local held = wire.hold({ from = server, data = true })
local c = client:connect(server, port)
held:caught(1)
c:write("hello?")
expect(server, "FIN_WAIT_1")
held:release()
check(#c:read() == 25, "the whole reply")
c:reads_end()
observe("daytimed: the reply came, and then a FIN.")
c:close()
expect(client, "gone")
expect(server, "TIME_WAIT")
expect_packet(server, { flags = "RST", count = 0 })

step("The textbook server: write, close.")
local listener = server:listen(1300)
local d = client:connect(server, 1300)
local s = listener:accept()
local again = wire.hold({ from = server, without = "RST" })
s:write("Sun Nov 22 11:02:45 2026\n")
again:caught(1)
s:close()
again:caught(2)
d:write("hello?")
expect(client, "gone", { connection = 2 })
d:read(100, { fails = "ECONNRESET" })
wire.release()
expect_packet(server, { flags = "RST", connection = 2 })
