-- SPDX-License-Identifier: MIT
scenario {
	title = "shutdown() of a listener",
	source = "Linux inet_shutdown() (TCP_LISTEN), inet_csk_listen_stop()",
	rfc = "3.9.1.5",
	loss = false, -- a reset is never sent again
	shows = [[shutdown(SHUT_RD) of a listening socket stops it: whoever waits in its queue is reset, and accept()
fails with EINVAL. The descriptor can listen again.]],
}

local listener = server:listen()
local c = client:connect(server)
expect(server, "ESTABLISHED", { orphan = true })
listener:shutdown("read")
expect(server, "gone")
expect(client, "gone")
c:read(1, { fails = "ECONNRESET" })
listener:accept { fails = "EINVAL" }
expect_packet(server, { flags = "RST" })
client:process("late"):socket():connect(server, server.port, { fails = "ECONNREFUSED" })
observe("Nobody listens.")
