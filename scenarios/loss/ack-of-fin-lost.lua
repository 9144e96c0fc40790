-- SPDX-License-Identifier: MIT
scenario {
	title = "The ACK of the FIN is lost",
	source = "RFC 9293 3.10.7.4 (CLOSE-WAIT, FIN: remain); Linux tcp_data_queue(), tcp_send_dupack()",
	rfc = "3.10.7.4",
	shows = [[The server is in CLOSE_WAIT, the client still in FIN_WAIT_1: it sends its FIN again, and the old FIN is
acknowledged again, without any change at the server.]],
}

client:sysctl("ipv4/tcp_rto_min_us", 20000, { optional = true })
local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
local lost = wire.drop { from = server, flags = "ACK" }
c:close()
expect(server, "CLOSE_WAIT", { recv_q = 1 })
expect(client, "FIN_WAIT_1", { orphan = true, timer = true })
lost:caught()
observe("CLOSE_WAIT and FIN_WAIT_1.")
lost:stop()
expect(client, "FIN_WAIT_2")
expect(server, "CLOSE_WAIT", { recv_q = 1 })
s:close()
expect(server, "gone")
expect(client, "TIME_WAIT")
expect_packet(client, { flags = "FIN", retransmission = true })
