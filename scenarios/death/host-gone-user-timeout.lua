-- SPDX-License-Identifier: MIT
scenario {
	title = "The peer's host is gone, and TCP_USER_TIMEOUT notices",
	source = "RFC 5482; RFC 9293 3.8.3; tcp(7), TCP_USER_TIMEOUT; Linux tcp_write_timeout()",
	rfc = "3.8.3",
	shows = [[Data that is not acknowledged within TCP_USER_TIMEOUT ends the connection with ETIMEDOUT. Without it
Linux retransmits for 15 minutes and more (tcp_retries2).]],
}

client:sysctl("ipv4/tcp_rto_min_us", 20000, { optional = true })
local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
c:set("TCP_USER_TIMEOUT", 3000)
wire.cut()
c:write("anybody there?")
expect(client, "ESTABLISHED", { timer = true, send_q = 14 })
observe("The client retransmits.")
c:read(1, { fails = "ETIMEDOUT" })
expect(client, "gone")
c:write("x", { fails = "EPIPE" })
expect(server, "ESTABLISHED", { recv_q = 0 })
expect_packet(client, { retransmission = true })
expect_path(client, "ESTABLISHED", "gone")
