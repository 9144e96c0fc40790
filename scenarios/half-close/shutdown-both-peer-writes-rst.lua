-- SPDX-License-Identifier: MIT
scenario {
	title = "SHUT_RDWR, and the peer writes: reset",
	source = "Linux tcp_rcv_state_process(): RCV_SHUTDOWN and new data in FIN_WAIT_1/2; RFC 1122 4.2.2.13",
	rfc = "3.6.1",
	shows = [[With both sides shut down nobody is left to read. Data that arrives in FIN_WAIT_2 is then answered with
RST, as after close(), although the descriptor is still open; its holder, too, is told ECONNRESET.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
s:shutdown("both")
expect(server, "FIN_WAIT_2", { orphan = false })
expect(client, "CLOSE_WAIT")

step("The client writes.")
c:write("more")
expect(server, "gone")
expect(client, "gone")
expect_packet(server, { flags = "RST" })
observe("Both ends are gone; both descriptors are open.")
c:write("more", { fails = "EPIPE" })
s:read(1, { fails = "ECONNRESET" })
expect_path(server, "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "gone")
expect_path(client, "ESTABLISHED", "CLOSE_WAIT", "gone")
