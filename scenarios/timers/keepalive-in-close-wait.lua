-- SPDX-License-Identifier: MIT
scenario {
	title = "Keepalive in CLOSE_WAIT",
	source = "Linux tcp_keepalive_timer(), tcp_write_wakeup(); RFC 9293 3.8.4",
	rfc = "3.8.4",
	shows = [[Keepalive goes on in CLOSE_WAIT. While the peer's kernel keeps FIN_WAIT_2 it answers; when that has run
out it answers RST, and the forgotten CLOSE_WAIT is gone: keepalive cleans up after a server that does not close.]],
}

client:sysctl("ipv4/tcp_rto_min_us", 20000, { optional = true })
client:sysctl("ipv4/tcp_fin_timeout", 3)
local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
s:set("TCP_KEEPIDLE", 1)
s:set("TCP_KEEPINTVL", 1)
c:close()
expect(client, "FIN_WAIT_2", { orphan = true })
s:set("SO_KEEPALIVE", 1) -- only now: a second is soon over on a slow machine
expect(server, "CLOSE_WAIT", { orphan = false, timer = true })
observe("CLOSE_WAIT with a timer: keepalive.")
expect(client, "gone", { within = "30s" })
expect(server, "gone", { within = "30s" })
expect_packet(client, { flags = "RST" })
s:write("x", { fails = "EPIPE" })
expect_path(server, "ESTABLISHED", "CLOSE_WAIT", "gone")
