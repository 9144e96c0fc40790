-- SPDX-License-Identifier: MIT
scenario {
	title = "The FIN is lost",
	source = "RFC 9293 3.8.1; Linux tcp_retransmit_timer()",
	rfc = "3.8.1",
	shows = [[A FIN takes a sequence number, so it is retransmitted like data. Until it is acknowledged the closer
stays in FIN_WAIT_1, and the peer knows of nothing.]],
}

client:sysctl("ipv4/tcp_rto_min_us", 20000, { optional = true })
local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
local lost = wire.drop { from = client, flags = "FIN" }
c:close()
expect(client, "FIN_WAIT_1", { orphan = true, timer = true, send_q = 1 })
expect(server, "ESTABLISHED", { recv_q = 0 })
lost:caught()
observe("The client has closed; the server cannot know.")

step("The next copy arrives.")
lost:stop()
expect(server, "CLOSE_WAIT")
expect(client, "FIN_WAIT_2")
s:close()
expect(server, "gone")
expect(client, "TIME_WAIT")
expect_packet(client, { flags = "FIN", retransmission = true })
expect_path(client, "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT")
