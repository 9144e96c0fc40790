-- SPDX-License-Identifier: MIT
scenario {
	title = "The child serves and exits; the parent still holds",
	source = "fork(2); the classic leak of a forking server",
	rfc = "3.6",
	shows = [[The child has answered, closed and exited, and the client still waits for the end of the stream: the
parent never closed its copy after fork(). Each connection leaks one descriptor.]],
}

local parent = server:process("parent")
local listener = parent:listen()
local c = client:process("caller"):connect(server)
local s = listener:accept()
local child = parent:fork("child")
local t = s:in_process(child)
t:write("answer")
t:close()
child:exit(0)
child:exits(0)
check(c:read(6) == "answer", "the client reads the answer")
wire.quiet()
expect(server, "ESTABLISHED", { orphan = false })
expect(client, "ESTABLISHED")
expect_packet(server, { flags = "FIN", count = 0 })
observe("The child is gone; the connection is not.")

step("The parent is ended.")
parent:kill("TERM")
parent:exits()
expect(server, "FIN_WAIT_2", { orphan = true })
expect(client, "CLOSE_WAIT")
c:reads_end()
c:close()
expect(server, "TIME_WAIT")
expect(client, "gone")
