-- SPDX-License-Identifier: MIT
scenario {
	title = "shutdown() in CLOSE_WAIT: LAST_ACK with a descriptor",
	source = "RFC 9293 3.10.4 (CLOSE in CLOSE-WAIT); Linux tcp_shutdown()",
	rfc = "3.10.4",
	shows = [[A program that answers a half-close with shutdown() instead of close() is in LAST_ACK with an open
descriptor: it can read what had arrived, and can write no more; close() sends nothing further. The ACK of its FIN frees the kernel's part.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
c:write("unread")
c:shutdown("write")
expect(server, "CLOSE_WAIT", { orphan = false, recv_q = 7 })
expect(client, "FIN_WAIT_2")

step("The server shuts down its side; the ACK of its FIN is held.")
local acks = wire.hold { from = client, flags = "ACK" }
s:shutdown("write")
expect(server, "LAST_ACK", { orphan = false })
expect(client, "TIME_WAIT")
observe("LAST_ACK, held by a program.")
s:write("x", { fails = "EPIPE" })
check(s:read(6) == "unread", "the server still reads what had arrived")
s:reads_end()
s:set("SO_KEEPALIVE", 1)
s:shutdown("read")
s:shutdown("write")
expect(server, "LAST_ACK", { orphan = false })
s:close()
expect(server, "LAST_ACK", { orphan = true, timer = true })

step("The ACK arrives.")
acks:release()
expect(server, "gone")
c:close()
expect_path(server, "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "gone")
