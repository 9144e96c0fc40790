-- SPDX-License-Identifier: MIT
scenario {
	title = "Keepalive in FIN_WAIT_2 with a descriptor",
	source = "Linux tcp_keepalive_timer()",
	rfc = "3.8.4",
	shows = [[A half-closed client that waits for an answer has no timer of its own; keepalive gives it one. While the
server's kernel answers the probes it waits on; when the host is gone it is told ETIMEDOUT.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
c:set("TCP_KEEPIDLE", 1)
c:set("TCP_KEEPINTVL", 1)
c:set("TCP_KEEPCNT", 1)
c:set("SO_KEEPALIVE", 1)
c:shutdown("write")
expect(client, "FIN_WAIT_2", { orphan = false, timer = true })
expect(server, "CLOSE_WAIT")
wire.cut()
observe("The link is cut; the client reads.")
c:read(1, { fails = "ETIMEDOUT", within = "30s" })
expect(client, "gone")
expect(server, "CLOSE_WAIT", { timer = false })
expect_path(client, "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "gone")
