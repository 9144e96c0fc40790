-- SPDX-License-Identifier: MIT
scenario {
	title = "Data arrives after SHUT_RD",
	source = "Linux inet_shutdown(), tcp_recvmsg_locked(); shutdown(2)",
	rfc = "3.9.1.4",
	shows = [[shutdown(SHUT_RD) says nothing to the peer: no packet is sent, and TCP has no way to refuse data. On
Linux read() returns 0 while nothing is there, and data that arrives later is acknowledged and can be read.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()

s:shutdown("read")
wire.quiet()
expect_packet(server, { flags = "FIN", count = 0 })
expect_packet(server, { flags = "RST", count = 0 })
s:reads_end()
s:write("still heard")
check(c:read(11) == "still heard", "the server writes on")
expect(client, "ESTABLISHED")
expect(server, "ESTABLISHED")

step("The client writes all the same.")
c:write("late")
expect(client, "ESTABLISHED", { send_q = 0 })
expect(server, "ESTABLISHED", { recv_q = 4 })
observe("Acknowledged, and waiting to be read.")
check(s:read(4) == "late", "the server reads it after all")
s:reads_end()

step("SHUT_WR after SHUT_RD; then both close.")
s:shutdown("write")
expect(server, "FIN_WAIT_2", { orphan = false })
expect(client, "CLOSE_WAIT")
s:write("x", { fails = "EPIPE" })
s:close()
c:reads_end()
c:close()
expect(client, "gone")
expect(server, "TIME_WAIT")
expect_packet(server, { flags = "RST", count = 0 })
