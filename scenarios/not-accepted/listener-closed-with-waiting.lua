-- SPDX-License-Identifier: MIT
scenario {
	title = "The listener is closed while connections wait",
	source = "Linux inet_csk_listen_stop(), inet_child_forget(); RFC 9293 3.9.1.5",
	rfc = "3.9.1.5",
	loss = false, -- a reset is never sent again
	shows = [[Whoever waits in the accept queue when the listener is closed gets RST: the connection had been made,
and data been acknowledged, that no program has ever seen.]],
}

local listener = server:listen()
local caller = client:process("caller")
local c1, c2 = caller:connect(server), caller:connect(server)
c1:write("question")
expect(server, "ESTABLISHED", { orphan = true, recv_q = 8 })
expect(client, "ESTABLISHED", { send_q = 0 })
observe("Two wait to be accepted.")
listener:close()
expect(server, "gone")
expect(client, "gone")
expect(server, "gone", { connection = 2 })
expect(client, "gone", { connection = 2 })
c1:read(1, { fails = "ECONNRESET" })
c2:read(1, { fails = "ECONNRESET" })
expect_packet(server, { flags = "RST", count = 2 })
caller:socket():connect(server, server.port, { fails = "ECONNREFUSED" })
