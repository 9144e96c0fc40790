-- SPDX-License-Identifier: MIT
scenario {
	title = "What a program can do in FIN_WAIT_1",
	source = "RFC 9293 3.10.4 (CLOSE: error, closing), 3.10.2 (SEND: error), 3.10.3 (RECEIVE as in ESTABLISHED); Linux tcp_shutdown(), tcp_sendmsg_locked()",
	rfc = "3.10.4",
	shows = [[The client has shut down its side, and its FIN has not been acknowledged. It can no longer write, but
reads as before; a second shutdown() and a close() change nothing for the peer.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
local held = wire.hold { from = client }
c:shutdown("write")
expect(client, "FIN_WAIT_1", { orphan = false })
observe("FIN_WAIT_1, held by a program.")

step("It reads what the server sends, and cannot write.")
s:write("reply")
check(c:read(5) == "reply", "the client reads")
c:write("x", { fails = "EPIPE" })
c:shutdown("write")
c:shutdown("read")
c:reads_end()
expect(client, "FIN_WAIT_1", { orphan = false })

step("It closes.")
c:close()
expect(client, "FIN_WAIT_1", { orphan = true, timer = true })
held:release()
expect(client, "FIN_WAIT_2", { orphan = true })
expect(server, "CLOSE_WAIT")
s:close()
expect(server, "gone")
expect(client, "TIME_WAIT")
expect_packet(client, { flags = "RST", count = 0 })
