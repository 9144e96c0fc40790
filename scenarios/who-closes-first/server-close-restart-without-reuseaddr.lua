-- SPDX-License-Identifier: MIT
scenario {
	title = "A restart without SO_REUSEADDR meets its own TIME_WAIT",
	source = "Linux inet_csk_get_port(), inet_rcv_saddr_equal(); socket(7)",
	rfc = "3.6.1",
	shows = [[The server closed first, so its port is in TIME_WAIT. bind() fails with EADDRINUSE, without
SO_REUSEADDR and, as the entry was made by a server that did not set it, with it too: for 60 s.]],
}

local daemon = server:process("daemon")
local listener = daemon:listen(server.port, { reuse = false })
local c = client:process("caller"):connect(server)
local s = listener:accept()
s:close()
c:reads_end()
c:close()
expect(server, "TIME_WAIT", { orphan = true })
expect(client, "gone")

step("The server is started again.")
daemon:exit()
server:process("again"):listen(server.port, { reuse = false, fails = "EADDRINUSE" })
server:process("and again"):listen(server.port, { reuse = true, fails = "EADDRINUSE" })
observe("Nobody listens, and nobody can.")
expect(server, "TIME_WAIT")
