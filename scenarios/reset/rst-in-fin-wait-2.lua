-- SPDX-License-Identifier: MIT
scenario {
	title = "A reset in FIN_WAIT_2",
	source = "RFC 9293 3.10.7.4; Linux tcp_reset()",
	rfc = "3.10.7.4",
	loss = false, -- a reset is never sent again
	shows = [[The client has shut down its side and waits for the answer. The server aborts: the client's read fails
with ECONNRESET, so it can tell an answer that ended from one that was cut off.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
c:shutdown("write")
expect(client, "FIN_WAIT_2", { orphan = false })
expect(server, "CLOSE_WAIT")
c:begin("read")

step("The server aborts.")
s:set("SO_LINGER", 0)
s:close()
c:finish { fails = "ECONNRESET" }
expect(client, "gone")
expect(server, "gone")
observe("Reset instead of FIN.")
expect_packet(server, { flags = "FIN", count = 0 })
expect_path(client, "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "gone")
expect_path(server, "ESTABLISHED", "CLOSE_WAIT", "gone")
