-- SPDX-License-Identifier: MIT
scenario {
	title = "Both shut down; the descriptors are closed later",
	source = "Linux tcp_fin(), tcp_time_wait(): the socket is done with, TIME_WAIT is an entry of its own",
	rfc = "3.6",
	shows = [[After shutdown(SHUT_WR) on both sides the connection is finished, although both programs still hold
their descriptors. They hold nothing any more: close() then sends nothing.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()

step("Both shut down their side.")
c:shutdown("write")
s:reads_end()
expect(client, "FIN_WAIT_2", { orphan = false })
s:shutdown("write")
c:reads_end()
expect(client, "TIME_WAIT")
expect(server, "gone")
observe("Finished, with both descriptors open.")

step("What the descriptors are still good for.")
c:write("x", { fails = "EPIPE" })
s:write("x", { fails = "EPIPE" })
c:reads_end()
s:reads_end()
c:close()
s:close()
wire.quiet()
expect(client, "TIME_WAIT")
expect(server, "gone")
expect_packet(client, { flags = "FIN", count = 1 })
expect_packet(server, { flags = "FIN", count = 1 })
expect_packet(client, { flags = "RST", count = 0 })
expect_packet(server, { flags = "RST", count = 0 })
expect_path(client, "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT")
