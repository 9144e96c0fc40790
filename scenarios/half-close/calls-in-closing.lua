-- SPDX-License-Identifier: MIT
scenario {
	title = "What a program can do in CLOSING",
	source = "RFC 9293 3.6 case 3, 3.10.2 to 3.10.4; Linux tcp_shutdown(), tcp_recvmsg_locked()",
	rfc = "3.6",
	shows = [[Both have shut down at once and keep their descriptors. In CLOSING the client reads what had come before
the server's FIN, and then the end of the stream; all else is over.]],
}

client:sysctl("ipv4/tcp_rto_min_us", 50000, { optional = true })
server:sysctl("ipv4/tcp_rto_min_us", 50000, { optional = true })
local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
s:write("last words")
expect(client, "ESTABLISHED", { recv_q = 10 })
wire.quiet()
expect(server, "ESTABLISHED", { send_q = 0 })
local held = wire.hold {}
c:shutdown("write")
s:shutdown("write")
expect(client, "FIN_WAIT_1", { orphan = false })
expect(server, "FIN_WAIT_1", { orphan = false })
wire.release()
expect(client, "CLOSING", { orphan = false, recv_q = 11 })
expect(server, "CLOSING", { orphan = false })
observe("CLOSING, held by programs.")
check(c:read(10) == "last words", "the client reads what had come before the FIN")
c:reads_end()
c:write("x", { fails = "EPIPE" })
c:shutdown("write")
c:shutdown("read")
c:close()
expect(client, "CLOSING", { orphan = true, timer = true })

step("The retransmitted FINs acknowledge one another.")
held:stop()
expect(client, "TIME_WAIT")
expect(server, "TIME_WAIT")
