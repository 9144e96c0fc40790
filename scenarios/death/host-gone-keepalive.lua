-- SPDX-License-Identifier: MIT
scenario {
	title = "The peer's host is gone, and keepalive notices",
	source = "RFC 9293 3.8.4; tcp(7), TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT; Linux tcp_keepalive_timer()",
	rfc = "3.8.4",
	shows = [[With SO_KEEPALIVE an idle end asks whether the other is there. After the last probe without an answer
the connection is given up, and the reader gets ETIMEDOUT. By default that takes 2 h 11 min; here 2 s.]],
}

local daemon = server:process("daemon")
local listener = daemon:listen()
local c = client:connect(server)
local s = listener:accept()
c:set("TCP_KEEPIDLE", 1)
c:set("TCP_KEEPINTVL", 1)
c:set("TCP_KEEPCNT", 1)
c:set("SO_KEEPALIVE", 1)
c:begin("read")
local c2 = client:process("hasty"):connect(server)
c2:set("TCP_KEEPIDLE", 1)
c2:set("TCP_KEEPINTVL", 1)
c2:set("TCP_KEEPCNT", 50)
c2:set("TCP_USER_TIMEOUT", 500)
c2:set("SO_KEEPALIVE", 1)
c2:begin("read")
expect(client, "ESTABLISHED", { timer = true })
wire.cut()
observe("The link is cut; the client's keepalive timer runs.")
c:finish { fails = "ETIMEDOUT", within = "30s" }
expect(client, "gone")
expect(server, "ESTABLISHED")
expect_path(client, "ESTABLISHED", "gone")

step("TCP_USER_TIMEOUT counts here instead of TCP_KEEPCNT: 50 probes are not waited for.")
c2:finish { fails = "ETIMEDOUT", within = "20s" }
expect(client, "gone", { connection = 2 })
expect_packet(client, { flags = "RST", count = 1, connection = 2 })
