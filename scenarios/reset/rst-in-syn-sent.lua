-- SPDX-License-Identifier: MIT
scenario {
	title = "A reset in SYN_SENT: connection refused",
	source = "RFC 9293 3.10.7.1, 3.10.7.3; Linux tcp_rcv_synsent_state_process(): ECONNREFUSED",
	rfc = "3.10.7.3",
	shows = [[Nobody listens: the SYN is answered with RST that acknowledges it, and connect() fails at once. The socket
stays, without a connection, until it is closed.]],
}

local c = client:process("caller"):socket()
c:connect(server, server.port, { fails = "ECONNREFUSED" })
expect(client, "gone")
expect(server, "gone")
expect_packet(server, { flags = "RST ACK", count = 1 })
c:close()
observe("Refused.")
expect_path(client, "SYN_SENT", "gone")
