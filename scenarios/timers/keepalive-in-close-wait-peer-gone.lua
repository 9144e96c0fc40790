-- SPDX-License-Identifier: MIT
scenario {
	title = "Keepalive in CLOSE_WAIT, and nobody answers",
	source = "Linux tcp_keepalive_timer(); tcp(7), TCP_KEEPCNT",
	rfc = "3.8.4",
	shows = [[The client has closed, and then its host vanished. The keepalive probes of the server's CLOSE_WAIT are not
answered, and after TCP_KEEPCNT of them the connection is given up.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
s:set("TCP_KEEPIDLE", 1)
s:set("TCP_KEEPINTVL", 1)
s:set("TCP_KEEPCNT", 1)
s:set("SO_KEEPALIVE", 1)
c:close()
expect(server, "CLOSE_WAIT", { orphan = false, timer = true })
expect(client, "FIN_WAIT_2", { orphan = true })
wire.cut()
observe("The link is cut.")
expect(server, "gone", { within = "30s" })
s:write("x", { fails = "ETIMEDOUT" })
s:write("x", { fails = "EPIPE" })
expect_path(server, "ESTABLISHED", "CLOSE_WAIT", "gone")
