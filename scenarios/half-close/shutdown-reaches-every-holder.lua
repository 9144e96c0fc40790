-- SPDX-License-Identifier: MIT
scenario {
	title = "shutdown() closes the connection, not the descriptor",
	source = "shutdown(2); Linux inet_shutdown()",
	rfc = "3.6",
	shows = [[Parent and child hold the same socket. close() in one of them would do nothing; shutdown() in one ends
the connection for both: it is the way to end what others still hold.]],
}

local parent = server:process("parent")
local listener = parent:listen()
local c = client:process("caller"):connect(server)
local s = listener:accept()
local child = parent:fork("child")

step("The child shuts down; the parent knows nothing of it.")
s:in_process(child):shutdown("write")
expect(server, "FIN_WAIT_2", { orphan = false })
expect(client, "CLOSE_WAIT")
s:write("x", { fails = "EPIPE" })
observe("Ended through one of two holders.")

c:reads_end()
c:close()
expect(client, "gone")
expect(server, "TIME_WAIT")
s:reads_end()
