-- SPDX-License-Identifier: MIT
scenario {
	title = "The parent closes, its child has the socket too",
	source = "fork(2); Linux fput(): the last descriptor counts",
	rfc = "3.6",
	shows = [[A forking server hands the connection to a child. close() in one of the two sends nothing: the socket is
closed when the last descriptor is. A forgotten copy in the parent keeps the peer waiting for ever.]],
}

local parent = server:process("parent")
local listener = parent:listen()
local c = client:process("caller"):connect(server)
local s = listener:accept()
local child = parent:fork("child")

step("The client closes; the child closes; the parent has forgotten that it holds a copy.")
c:close()
s:in_process(child):close()
wire.quiet()
expect(server, "CLOSE_WAIT", { orphan = false })
expect(client, "FIN_WAIT_2", { orphan = true, timer = true })
expect_packet(server, { flags = "FIN", count = 0 })
observe("Closed by the child, held by the parent.")

step("The parent closes its copy.")
s:close()
expect(server, "gone")
expect(client, "TIME_WAIT")
expect_path(server, "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "gone")
