-- SPDX-License-Identifier: MIT
scenario {
	title = "A process is killed before it has read",
	source = "RFC 1122 4.2.2.13; Linux __tcp_close(): data_was_unread",
	rfc = "3.6",
	loss = false, -- a reset is never sent again
	shows = [[The rule for close() with unread data holds for death as well: the peer gets RST, and with it knows
more than a FIN would have told.]],
}

local daemon = server:process("daemon")
local listener = daemon:listen()
local c = client:connect(server)
local s = listener:accept()
c:write("question")
expect(server, "ESTABLISHED", { recv_q = 8 })
daemon:kill("KILL")
daemon:exits(128 + 9)
expect(server, "gone")
expect(client, "gone")
observe("Killed with 8 bytes unread.")
c:read(1, { fails = "ECONNRESET" })
expect_packet(server, { flags = "RST" })
expect_packet(server, { flags = "FIN", count = 0 })
