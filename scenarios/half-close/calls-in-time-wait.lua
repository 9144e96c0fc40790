-- SPDX-License-Identifier: MIT
scenario {
	title = "What a program can do when its connection is in TIME_WAIT",
	source = "Linux tcp_time_wait(): the socket is closed, what it had received stays; inet_shutdown(): ENOTCONN",
	rfc = "3.6",
	shows = [[The descriptor's socket is no longer the connection: that is an entry without a socket now. What had
arrived can still be read. shutdown() fails with ENOTCONN, and an abort finds nothing to abort.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
c:shutdown("write")
s:reads_end()
expect(client, "FIN_WAIT_2", { orphan = false })
s:write("reply")
s:close()
expect(client, "TIME_WAIT")
expect(server, "gone")
observe("TIME_WAIT, with a descriptor open and a reply unread.")
check(c:read(5) == "reply", "the client reads the reply")
c:reads_end()
c:write("x", { fails = "EPIPE" })
c:shutdown("write", { fails = "ENOTCONN" })
c:shutdown("read", { fails = "ENOTCONN" })
c:set("SO_LINGER", 0)
c:close()
wire.quiet()
expect(client, "TIME_WAIT", { timer = true })
expect_packet(client, { flags = "RST", count = 0 })
