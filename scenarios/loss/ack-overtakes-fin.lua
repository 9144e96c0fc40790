-- SPDX-License-Identifier: MIT
scenario {
	title = "The ACK of one FIN overtakes the other",
	source = "Linux tcp_ack(), commit 795a7dfbc3d9 (accept old ack during closing); RFC 9293 3.10.7.4",
	rfc = "3.10.7.4",
	shows = [[Both close at once, and the server's FIN is late: its ACK of the client's FIN arrives before it. The client
is in FIN_WAIT_2 when a FIN comes that acknowledges less than it knows already; it has to be taken all the same.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
local late = wire.hold { from = server, flags = "FIN" }
s:close()
expect(server, "FIN_WAIT_1")
late:caught()
c:close()
expect(server, "CLOSING")
expect(client, "FIN_WAIT_2")
observe("FIN_WAIT_2 beside CLOSING.")
late:release()
expect(client, "TIME_WAIT")
expect(server, "TIME_WAIT")
expect_path(server, "ESTABLISHED", "FIN_WAIT_1", "CLOSING", "TIME_WAIT")
expect_path(client, "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT")
