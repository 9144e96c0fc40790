-- SPDX-License-Identifier: MIT
scenario {
	title = "A client that never closes is reset in time",
	source = "daytimed(8)",
	rfc = "3.6",
	loss = false, -- a reset that is lost is not sent again
	shows = [[daytimed waits for the client's FIN as long as --drain-time says, and then resets: reply and FIN are long there,
and nothing is left. The textbook server leaves its kernel an orphan in FIN_WAIT_2.]],
}

local daytimed = server:run("daytimed", "--user=none", "--drain-time=1s", server.port)
local fin = wire.watch { from = server, flags = "FIN" }
local c = client:connect(server, daytimed:listens())
fin:caught()
daytimed:kill("STOP") -- however slow the machine: it resets when it may go on
check(#c:read() == 25, "the whole reply")
c:reads_end()
expect(server, "FIN_WAIT_2", { orphan = false })
expect(client, "CLOSE_WAIT")
observe("The client has read the end of the stream and does not close.")
daytimed:kill("CONT")
expect(server, "gone")
expect(client, "gone")
expect_packet(server, { flags = "RST" })
expect_path(server, "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "gone")
daytimed:kill("USR2")
daytimed:says('"timed_out":1')

step("The textbook server: write, close.")
local listener = server:listen(1300)
local d = client:connect(server, 1300)
local s = listener:accept()
s:write("Sun Nov 22 11:02:45 2026\n")
s:close()
check(#d:read() == 25, "the whole reply")
d:reads_end()
expect(server, "FIN_WAIT_2", { orphan = true, timer = true, connection = 2 })
expect(client, "CLOSE_WAIT", { connection = 2 })
