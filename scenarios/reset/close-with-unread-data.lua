-- SPDX-License-Identifier: MIT
scenario {
	title = "close() with data unread is a reset",
	source = "RFC 1122 4.2.2.13; RFC 2525 2.17; Linux __tcp_close()",
	rfc = "3.6",
	loss = false, -- a reset is never sent again
	shows = [[The client has sent what the server never reads. A FIN would say that all was well; so close() sends RST
instead, and the client's next read fails with ECONNRESET, even where the reply had arrived before.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
c:write("unread")
expect(server, "ESTABLISHED", { recv_q = 6 })
s:write("reply")
expect(client, "ESTABLISHED", { recv_q = 5 })

step("The server closes without having read.")
s:close()
expect(server, "gone")
expect(client, "gone")
observe("No FIN: a reset.")
expect_packet(server, { flags = "RST" })
expect_packet(server, { flags = "FIN", count = 0 })

step("What the client has of it.")
check(c:read() == "reply", "what had arrived can still be read")
c:read(1, { fails = "ECONNRESET" })
expect_path(server, "ESTABLISHED", "gone")
expect_path(client, "ESTABLISHED", "gone")
