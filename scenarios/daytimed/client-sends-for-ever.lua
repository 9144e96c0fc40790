-- SPDX-License-Identifier: MIT
scenario {
	title = "A client that sends for ever is reset after its reply",
	source = "daytimed(8)",
	rfc = "3.6.1",
	loss = false, -- a reset that is lost is not sent again
	shows = [[daytimed reads on for as many bytes as --drain-bytes says. The client has its reply and the FIN by then; the reset
is the server's choice, and counted. The textbook server closes with bytes unread: its reset overtakes the reply.]],
}

local daytimed = server:run("daytimed", "--user=none", "--drain-bytes=3000", server.port)
local c = client:connect(server, daytimed:listens())
check(#c:read() == 25, "the whole reply")
c:reads_end()
for _ = 1, 3 do
	c:write(1000)
	expect(server, "FIN_WAIT_2", { recv_q = 0 })
end
observe("3000 bytes are read and thrown away.")
c:write(1)
expect(server, "gone")
expect(client, "gone")
expect_packet(server, { flags = "RST" })
daytimed:kill("USR2")
daytimed:says('"too_much":1')

step("The textbook server: write, close, with the client's bytes unread.")
local listener = server:listen(1300)
local d = client:connect(server, 1300)
local s = listener:accept()
d:write(1000)
expect(server, "ESTABLISHED", { recv_q = 1000, connection = 2 })
local late = wire.hold { from = server, data = true }
s:write("Sun Nov 22 11:02:45 2026\n")
late:caught(1)
s:close()
expect(server, "gone", { connection = 2 })
expect(client, "gone", { connection = 2 })
d:read(100, { fails = "ECONNRESET" })
expect_packet(server, { flags = "RST", connection = 2 })
