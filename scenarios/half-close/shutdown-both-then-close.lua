-- SPDX-License-Identifier: MIT
scenario {
	title = "SHUT_RDWR and then close()",
	source = "shutdown(2); Linux inet_shutdown(), __tcp_close()",
	rfc = "3.6",
	shows = [[SHUT_RDWR is SHUT_WR for the peer: one FIN. Locally reads return 0 and writes fail with EPIPE at once;
the descriptor stays, and its close() sends nothing more.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
s:shutdown("both")
s:reads_end()
s:write("x", { fails = "EPIPE" })
expect(server, "FIN_WAIT_2", { orphan = false, timer = false })
expect(client, "CLOSE_WAIT")
observe("Shut down both ways, and not closed.")
s:close()
expect(server, "FIN_WAIT_2", { orphan = true, timer = true })
c:reads_end()
c:close()
expect(client, "gone")
expect(server, "TIME_WAIT")
expect_packet(server, { flags = "FIN", count = 1 })
expect_packet(server, { flags = "RST", count = 0 })
