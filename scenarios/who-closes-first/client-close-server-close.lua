-- SPDX-License-Identifier: MIT
scenario {
	title = "The client closes first",
	source = "RFC 9293 3.6 cases 1 and 2",
	rfc = "3.6",
	shows = [[Now TIME_WAIT is at the client. The server's port is free at once: even a server that does not
set SO_REUSEADDR can be started again.]],
}

local daemon = server:process("daemon")
local listener = daemon:listen(server.port, { reuse = false })
local c = client:process("caller"):connect(server)
local s = listener:accept()

step("The client closes, then the server.")
c:close()
expect(client, "FIN_WAIT_2", { orphan = true })
expect(server, "CLOSE_WAIT", { orphan = false })
s:reads_end()
s:close()
expect(server, "gone")
expect(client, "TIME_WAIT", { orphan = true })
observe("The client's kernel remembers.")

step("The server is ended and started again, without SO_REUSEADDR.")
daemon:exit()
server:process("daemon"):listen(server.port, { reuse = false })

expect_path(client, "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT")
expect_path(server, "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "gone")
