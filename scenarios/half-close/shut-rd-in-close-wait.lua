-- SPDX-License-Identifier: MIT
scenario {
	title = "SHUT_RD in CLOSE_WAIT does nothing for the peer",
	source = "shutdown(2); Linux inet_shutdown(): only SEND_SHUTDOWN reaches tcp_shutdown()",
	rfc = "3.6",
	shows = [[A holder that only shuts down reading has told nobody anything: CLOSE_WAIT stays, and with it the peer's
FIN_WAIT_2. It takes SHUT_WR, SHUT_RDWR or close().]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
c:close()
expect(server, "CLOSE_WAIT")
expect(client, "FIN_WAIT_2", { orphan = true })
s:shutdown("read")
s:reads_end()
wire.quiet()
expect(server, "CLOSE_WAIT", { orphan = false })
expect(client, "FIN_WAIT_2", { orphan = true })
expect_packet(server, { flags = "FIN", count = 0 })
observe("Shut down for reading only.")
s:shutdown("both")
expect(server, "gone")
expect(client, "TIME_WAIT")
