-- SPDX-License-Identifier: MIT
scenario {
	title = "A reset while the server reads",
	source = "Linux tcp_reset(): ECONNRESET; RFC 9293 3.10.7.4",
	rfc = "3.10.7.4",
	loss = false, -- a reset is never sent again
	shows = [[The server waits in read(). The client's abort wakes it with ECONNRESET: unlike a FIN, a reset is
reported to whoever waits.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
s:begin("read")
c:set("SO_LINGER", 0)
c:close()
s:finish { fails = "ECONNRESET" }
expect(server, "gone")
expect(client, "gone")
observe("Both ends are gone; the server's descriptor is open.")
s:reads_end()
s:close()
expect_packet(client, { flags = "RST", count = 1 })

step("The server waits in write().")
local reader = client:process("reader")
c = reader:socket()
c:set("SO_RCVBUF", 4096)
c:connect(server, server.port)
s = listener:accept()
s:set("SO_SNDBUF", 4096)
s:begin("write", 1000000)
wire.quiet()
c:close()
local taken = s:finish()
check(taken > 0 and taken < 1000000, "write() returns with what it had handed over")
expect(server, "gone", { connection = 2 })
s:write("x", { fails = "ECONNRESET" })
s:write("x", { fails = "EPIPE" })
s:close()

step("The server has not read what came before the reset; its close() sends nothing.")
c = client:connect(server)
s = listener:accept()
c:write("unread")
expect(server, "ESTABLISHED", { connection = 3, recv_q = 6 })
c:set("SO_LINGER", 0)
c:close()
expect(server, "gone", { connection = 3 })
s:write("x", { fails = "ECONNRESET" })
s:close()
wire.quiet()
expect_packet(server, { flags = "RST", count = 0 })
