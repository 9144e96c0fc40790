-- SPDX-License-Identifier: MIT
scenario {
	title = "shutdown() in SYN_SENT",
	source = "Linux inet_shutdown() (TCP_SYN_SENT), tcp_disconnect()",
	rfc = "3.10.4",
	shows = [[shutdown() of either direction while a connection is being made is the end of it: Linux disconnects, sends
nothing, and a connect() that waits fails with ECONNRESET. An answer that comes later meets RST.]],
}

local listener = server:listen()
local lost = wire.drop { flags = "SYN" }
local connection = 0
for _, how in ipairs { "read", "write", "both" } do
	local caller = client:process("caller")
	local c = caller:socket()
	connection = connection + 1
	step("shutdown(\"" .. how .. "\").")
	c:nonblocking()
	c:connect(server, server.port, { fails = "EINPROGRESS" })
	lost:caught(connection)
	expect(client, "SYN_SENT", { connection = connection, orphan = false })
	c:shutdown(how)
	expect(client, "gone", { connection = connection })
	c:read(1, { fails = "ECONNRESET" })
	c:close()
end
lost:stop()
wire.quiet()
expect_packet(client, { flags = "RST", count = 0 })
expect_packet(client, { flags = "FIN", count = 0 })
observe("Three sockets have given up, and nobody was told.")

step("Another thread shuts down the socket that waits in connect().")
local held = wire.hold { from = server, flags = "SYN ACK" }
local parent = client:process("parent")
local c = parent:socket()
local child = parent:fork("child")
c:begin("connect", server, server.port)
held:caught()
expect(client, "SYN_SENT", { connection = 4 })
c:in_process(child):shutdown("both")
c:finish { fails = "ECONNRESET" }
expect(client, "gone", { connection = 4 })
local answers = held:release()
check(answers >= 1, "the server has answered")
expect_packet(client, { flags = "RST", count = answers, connection = 4 })
expect(server, "gone", { connection = 4 })
