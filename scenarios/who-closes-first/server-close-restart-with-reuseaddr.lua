-- SPDX-License-Identifier: MIT
scenario {
	title = "A restart with SO_REUSEADDR does not mind TIME_WAIT",
	source = "socket(7), SO_REUSEADDR; Linux inet_csk_get_port()",
	rfc = "3.6.1",
	shows = [[The server closed first and left TIME_WAIT, but it had set SO_REUSEADDR: so may the next one, and it
can listen at once. One without it still cannot.]],
}

local daemon = server:process("daemon")
local listener = daemon:listen(server.port, { reuse = true })
local c = client:process("caller"):connect(server)
local s = listener:accept()
s:close()
c:reads_end()
c:close()
expect(server, "TIME_WAIT", { orphan = true })
expect(client, "gone")

step("The server is started again.")
daemon:exit()
server:process("careless"):listen(server.port, { reuse = false, fails = "EADDRINUSE" })
local again = server:process("daemon"):listen(server.port, { reuse = true })

step("It serves, beside the TIME_WAIT of its predecessor.")
local c2 = client:process("caller"):connect(server)
local s2 = again:accept()
expect(server, "ESTABLISHED", { connection = 2 })
expect(client, "ESTABLISHED", { connection = 2 })
expect(server, "TIME_WAIT")
observe("Both connections of the server's port.")
c2:close()
expect(server, "CLOSE_WAIT", { connection = 2 })
s2:close()
expect(client, "TIME_WAIT", { connection = 2 })
expect(server, "gone", { connection = 2 })
