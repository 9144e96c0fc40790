-- SPDX-License-Identifier: MIT
scenario {
	title = "close() in SYN_SENT",
	source = "RFC 9293 3.10.4 (CLOSE in SYN-SENT: delete the TCB); Linux __tcp_close(), tcp_disconnect()",
	rfc = "3.10.4",
	shows = [[The client gives up before its SYN was answered. It sends nothing: nobody has heard of it so far. When the
answer comes after all it belongs to no connection, and RST frees the server's end.]],
}

local listener = server:listen()
local held = wire.hold { flags = "SYN" }
local c = client:process("impatient"):socket()
c:nonblocking()
c:connect(server, server.port, { fails = "EINPROGRESS" })
held:caught()
expect(client, "SYN_SENT", { orphan = false })
c:close()
expect(client, "gone")
wire.quiet()
expect_packet(client, { flags = "RST", count = 0 })
observe("The client has given up; the server knows nothing.")

step("The SYN arrives all the same.")
held:release()
expect(server, "gone")
expect_packet(server, { flags = "SYN ACK" })
expect_packet(client, { flags = "RST", count = 1 })
