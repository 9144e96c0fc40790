-- SPDX-License-Identifier: MIT
scenario {
	title = "Data that was read comes again, and then close()",
	source = "RFC 2525 2.17; Linux __tcp_close(), commit 5f9238530970 (only send RST when required)",
	rfc = "3.6",
	shows = [[The client's last segment comes a second time, after the server has read it. That is no unread data: the
server's close() is a FIN, not a reset.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
c:write("question")
check(s:read(8) == "question", "the server reads the question")
wire.inject(server, { flags = "PSH ACK", seq = 1, length = 8 })
wire.quiet()
expect(server, "ESTABLISHED", { recv_q = 0 })
expect(client, "ESTABLISHED")
s:close()
expect(server, "FIN_WAIT_2", { orphan = true })
expect(client, "CLOSE_WAIT")
expect_packet(server, { flags = "FIN", count = 1 })
expect_packet(server, { flags = "RST", count = 0 })
observe("A FIN.")
c:close()
expect(server, "TIME_WAIT")
expect(client, "gone")
