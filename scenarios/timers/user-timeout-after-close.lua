-- SPDX-License-Identifier: MIT
scenario {
	title = "TCP_USER_TIMEOUT after close()",
	source = "RFC 5482; tcp(7), TCP_USER_TIMEOUT; Linux tcp_write_timeout(), tcp_clamp_rto_to_user_timeout()",
	rfc = "3.8.3",
	shows = [[The option outlives the descriptor: an orphan whose FIN is not acknowledged is given up after
TCP_USER_TIMEOUT, here 2 s, instead of the minutes that tcp_orphan_retries takes.]],
}

client:sysctl("ipv4/tcp_rto_min_us", 20000, { optional = true })
local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
c:set("TCP_USER_TIMEOUT", 2000)
wire.cut()
c:close()
expect(client, "FIN_WAIT_1", { orphan = true, timer = true })
observe("An orphan with a deadline.")
expect(client, "gone")
expect(server, "ESTABLISHED")
expect_packet(client, { flags = "FIN", retransmission = true })
