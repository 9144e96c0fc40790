-- SPDX-License-Identifier: MIT
scenario {
	title = "In a Unix socket, held by no process",
	source = "unix(7), SCM_RIGHTS; Linux unix_scm_to_skb(), net/unix/garbage.c",
	rfc = "3.6",
	shows = [[The descriptor has been sent to a worker that never receives the message. No process has it, /proc
shows no owner, and still it is no orphan: the message holds the socket, and the connection stays.]],
}

local dispatcher = server:process("dispatcher")
local worker = server:process("worker")
local listener = dispatcher:listen()
local c = client:process("caller"):connect(server)
local s = listener:accept()
s:post()
s:close()
c:close()
wire.quiet()
expect(server, "CLOSE_WAIT", { orphan = false, recv_q = 1 })
expect(client, "FIN_WAIT_2", { orphan = true })
expect_packet(server, { flags = "FIN", count = 0 })
observe("CLOSE_WAIT without an owner.")

step("The worker takes it, and closes.")
local w = worker:take()
w:reads_end()
w:close()
expect(server, "gone")
expect(client, "TIME_WAIT")
