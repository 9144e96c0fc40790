-- SPDX-License-Identifier: MIT
scenario {
	title = "The retries run out in LAST_ACK",
	source = "Linux tcp_write_timeout(), tcp_orphan_retries()",
	rfc = "3.8.3",
	shows = [[The server has closed in its turn, and its FIN is never acknowledged. LAST_ACK ends when the retries of
an orphan are used up. The client's FIN_WAIT_2 runs out by itself.]],
}

server:sysctl("ipv4/tcp_rto_min_us", 20000, { optional = true })
client:sysctl("ipv4/tcp_rto_min_us", 20000, { optional = true })
client:sysctl("ipv4/tcp_fin_timeout", 3)
local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
c:close()
expect(server, "CLOSE_WAIT")
expect(client, "FIN_WAIT_2", { timer = true })
wire.cut()
s:close()
expect(server, "LAST_ACK", { orphan = true, timer = true })
observe("The link is cut.")
server:sysctl("ipv4/tcp_orphan_retries", 2)
expect(server, "gone", { within = "30s" })
expect(client, "gone", { within = "30s" })
expect_packet(server, { flags = "FIN", retransmission = true })
expect_path(server, "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "gone")
expect_path(client, "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "gone")
