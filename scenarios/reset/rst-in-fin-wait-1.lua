-- SPDX-License-Identifier: MIT
scenario {
	title = "A reset in FIN_WAIT_1",
	source = "RFC 9293 3.10.7.4, second: check the RST bit; Linux tcp_reset()",
	rfc = "3.10.7.4",
	loss = false, -- a reset is never sent again
	shows = [[Both close, but the client does so with SO_LINGER 0: instead of the ACK that it waits for, the server
gets RST. Its end is gone at once, without TIME_WAIT.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
c:set("SO_LINGER", 0)

step("The server closes; its FIN is lost. The client aborts.")
local lost = wire.drop { from = server, flags = "FIN" }
s:close()
expect(server, "FIN_WAIT_1", { orphan = true, timer = true })
observe("The server's FIN is lost.")
c:close()
expect(server, "gone")
expect(client, "gone")
expect_packet(client, { flags = "RST", count = 1 })
expect_path(server, "ESTABLISHED", "FIN_WAIT_1", "gone")
