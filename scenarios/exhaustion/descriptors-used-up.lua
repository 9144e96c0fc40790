-- SPDX-License-Identifier: MIT
scenario {
	title = "A server that never closes runs out of descriptors",
	source = "accept(2), EMFILE; getrlimit(2), RLIMIT_NOFILE",
	rfc = "3.6",
	shows = [[Each client that has come and gone leaves a descriptor in CLOSE_WAIT. When the limit is reached (12
here) accept() fails with EMFILE, and the next clients are connected by the kernel, and answered by nobody.]],
}

local daemon = server:process("daemon")
local listener = daemon:listen(server.port, { backlog = 20 })
daemon:limit(12)
local caller = client:process("caller")
-- Five are in use: three standard ones, the listener, and the one that brings the script's commands.
local n, left = 8, {}
for i = 1, n do
	caller:connect(server):close()
	expect(server, "CLOSE_WAIT", { connection = i })
	expect(client, "FIN_WAIT_2", { connection = i, orphan = true })
	if i < n then
		left[i] = listener:accept()
	end
end
listener:accept { fails = "EMFILE" }
expect(server, "CLOSE_WAIT", { orphan = false })
expect(server, "CLOSE_WAIT", { connection = n, orphan = true })
observe("The eighth client is connected, and will not be served.", { connection = n })

step("A further client connects, asks, and waits.")
local c = client:connect(server)
c:write("question")
expect(client, "ESTABLISHED", { connection = n + 1, send_q = 0 })
expect(server, "ESTABLISHED", { connection = n + 1, orphan = true, recv_q = 8 })

step("One close() on the server's side, and accept() works again.")
left[1]:close()
expect(server, "gone")
listener:accept()
expect(server, "CLOSE_WAIT", { connection = n, orphan = false })
