-- SPDX-License-Identifier: MIT
scenario {
	title = "A reset in CLOSE_WAIT",
	source = "RFC 9293 3.10.7.4; Linux tcp_reset(): EPIPE in CLOSE_WAIT",
	rfc = "3.10.7.4",
	loss = false, -- a reset is never sent again
	shows = [[A reset after the FIN: the connection is over, and the holder's descriptor is dead. Linux reports EPIPE,
not ECONNRESET, in CLOSE_WAIT, and a reader that only waits for the end of the stream is told nothing at all.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
c:close()
expect(server, "CLOSE_WAIT", { orphan = false })
expect(client, "FIN_WAIT_2", { orphan = true })

step("A reset arrives at the server, as a firewall between the two would send it.")
wire.inject(server, { flags = "RST" })
expect(server, "gone")
observe("The descriptor is dead; ss does not show it any more.")
s:write("x", { fails = "EPIPE" })
s:reads_end()
expect(client, "FIN_WAIT_2", { orphan = true, timer = true })
expect_path(server, "ESTABLISHED", "CLOSE_WAIT", "gone")
