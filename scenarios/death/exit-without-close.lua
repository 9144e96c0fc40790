-- SPDX-License-Identifier: MIT
scenario {
	title = "A process exits without close()",
	source = "Linux do_exit(), exit_files(); exit(2)",
	rfc = "3.6",
	proves = { "exit-closes" },
	shows = [[The kernel closes every descriptor of a process that ends, however it ends: the peer sees the same FIN
as after close().]],
}

local listener = server:listen()
local caller = client:process("caller")
local c = caller:connect(server)
local s = listener:accept()
caller:exit(3)
caller:exits(3)
expect(client, "FIN_WAIT_2", { orphan = true })
expect(server, "CLOSE_WAIT", { recv_q = 1 })
observe("The client's process is no more.")
s:reads_end()
s:close()
expect(server, "gone")
expect(client, "TIME_WAIT")
expect_path(client, "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT")
