-- SPDX-License-Identifier: MIT
scenario {
	title = "A reset while the server reads",
	source = "Linux tcp_reset(): ECONNRESET; RFC 9293 3.10.7.4",
	rfc = "3.10.7.4",
	loss = false, -- a reset is never sent again
	shows = [[The server waits in read(). The client's abort wakes it with ECONNRESET: unlike a FIN, a reset is
reported to whoever waits.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
s:begin("read")
c:set("SO_LINGER", 0)
c:close()
s:finish { fails = "ECONNRESET" }
expect(server, "gone")
expect(client, "gone")
observe("Both ends are gone; the server's descriptor is open.")
s:reads_end()
s:close()
expect_packet(client, { flags = "RST", count = 1 })
