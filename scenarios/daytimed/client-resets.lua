-- SPDX-License-Identifier: MIT
scenario {
	title = "A client that resets harms nobody",
	source = "daytimed(8)",
	rfc = "3.5.2",
	loss = false, -- a reset is never sent again
	shows = [[The client has its reply and resets instead of closing. The server frees its end and serves the next. The textbook server does
as well here: it has closed before.]],
}

local daytimed = server:run("daytimed", "--user=none", "--drain-time=60s", server.port)
local port = daytimed:listens()
local c = client:connect(server, port)
check(#c:read() == 25, "the whole reply")
c:set("SO_LINGER", 0)
c:close()
expect(client, "gone")
expect(server, "gone")
expect_packet(client, { flags = "RST" })

step("The next client.")
local daytime = client:run("daytime", "--timeout=30s", server.address, port)
daytime:exits(0)
expect(server, "TIME_WAIT", { connection = 2 })
daytimed:kill("TERM")
daytimed:says('"reset_by_client":1')
