-- SPDX-License-Identifier: MIT
scenario {
	title = "A reset before accept()",
	source = "accept(2), ERRORS; Linux inet_csk_accept(), tcp_reset()",
	rfc = "3.10.7.4",
	loss = false, -- a reset is never sent again
	shows = [[The client has aborted before the server takes the connection out of its queue. accept() succeeds all
the same: the socket that it returns is dead. What had arrived can be read; then comes ECONNRESET.]],
}

local listener = server:listen()
local c = client:connect(server)
expect(server, "ESTABLISHED", { orphan = true })
c:write("question")
expect(server, "ESTABLISHED", { recv_q = 8 })
c:set("SO_LINGER", 0)
c:close()
expect(client, "gone")
expect(server, "gone")
observe("A dead connection waits to be accepted.")

step("The server accepts.")
local s = listener:accept()
check(s:read(8) == "question", "what had arrived before the reset can be read")
s:read(1, { fails = "ECONNRESET" })
s:write("x", { fails = "EPIPE" })
s:close()
expect_path(server, "ESTABLISHED", "gone")
