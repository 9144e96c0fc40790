-- SPDX-License-Identifier: MIT
scenario {
	title = "Passed to another process, and closed by the giver",
	source = "unix(7), SCM_RIGHTS",
	rfc = "3.6",
	shows = [[A dispatcher accepts and passes the socket to a worker. When the dispatcher closes its copy nothing is
sent: the worker's descriptor is as good.]],
}

local dispatcher = server:process("dispatcher")
local worker = server:process("worker")
local listener = dispatcher:listen()
local c = client:process("caller"):connect(server)
local s = listener:accept()
local w = s:pass(worker)
s:close()
wire.quiet()
expect(server, "ESTABLISHED", { orphan = false })
expect_packet(server, { flags = "FIN", count = 0 })
observe("The worker alone holds it.")

step("The worker serves and closes.")
w:write("answer")
w:close()
check(c:read(6) == "answer", "the client reads the answer")
c:reads_end()
c:close()
expect(client, "gone")
expect(server, "TIME_WAIT")
