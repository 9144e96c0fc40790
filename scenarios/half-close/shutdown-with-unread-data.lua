-- SPDX-License-Identifier: MIT
scenario {
	title = "shutdown() with data unread is a FIN; the close() after it is a reset",
	source = "RFC 1122 4.2.2.13; RFC 2525 2.17; Linux tcp_shutdown(), __tcp_close(): data_was_unread",
	rfc = "3.6",
	loss = false, -- a reset is never sent again
	shows = [[close() with unread data is a reset, shutdown(SHUT_WR) is not: the descriptor is still there to read it.
Who then closes without having read resets in FIN_WAIT_2.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
s:write("unread")
expect(client, "ESTABLISHED", { recv_q = 6 })
c:shutdown("write")
expect(client, "FIN_WAIT_2", { orphan = false, recv_q = 6 })
expect(server, "CLOSE_WAIT")
expect_packet(client, { flags = "FIN", count = 1 })
expect_packet(client, { flags = "RST", count = 0 })
observe("A FIN, although data is unread.")
c:close()
expect(client, "gone")
expect(server, "gone")
expect_packet(client, { flags = "RST", count = 1 })
expect_path(client, "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "gone")

step("SHUT_RD with data unread sends nothing at all; the close() after it is a reset again.")
c = client:connect(server)
s = listener:accept()
s:write("unread")
expect(client, "ESTABLISHED", { connection = 2, recv_q = 6 })
c:shutdown("read")
wire.quiet()
expect_packet(client, { flags = "FIN", count = 0, connection = 2 })
expect_packet(client, { flags = "RST", count = 0, connection = 2 })
expect(server, "ESTABLISHED", { connection = 2 })
c:close()
expect(server, "gone", { connection = 2 })
expect_packet(client, { flags = "RST", count = 1, connection = 2 })
s:read(1, { fails = "ECONNRESET" })
