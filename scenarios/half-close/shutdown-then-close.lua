-- SPDX-License-Identifier: MIT
scenario {
	title = "shutdown() and then close(): one FIN, and a timer",
	source = "Linux __tcp_close(): FIN_WAIT_2 of an orphan gets the tcp_fin_timeout timer",
	rfc = "3.6",
	shows = [[shutdown() sends the FIN; the close() that follows sends nothing. But it changes who may wait: with a
descriptor FIN_WAIT_2 has no timer, without one the kernel gives the peer 60 s.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()

c:shutdown("write")
expect(client, "FIN_WAIT_2", { orphan = false, timer = false })
expect(server, "CLOSE_WAIT")
observe("After shutdown(): the client may wait as long as it likes.")

step("The client closes as well.")
c:close()
wire.quiet()
expect(client, "FIN_WAIT_2", { orphan = true, timer = true })
expect_packet(client, { flags = "FIN", count = 1 })
observe("After close(): the kernel waits in its place, but not for ever.")

s:close()
expect(server, "gone")
expect(client, "TIME_WAIT", { orphan = true })
