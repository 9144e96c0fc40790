-- SPDX-License-Identifier: MIT
scenario {
	title = "exec() closes what is close-on-exec",
	source = "execve(2); fcntl(2), FD_CLOEXEC; Linux do_close_on_exec()",
	rfc = "3.6",
	shows = [[The process lives on as another program. Its sockets were close-on-exec, as they should be: the exec is
their close().]],
}

local daemon = server:process("daemon")
local listener = daemon:listen()
local c = client:connect(server)
local s = listener:accept()
daemon:exec("cat")
expect(server, "FIN_WAIT_2", { orphan = true })
expect(client, "CLOSE_WAIT")
observe("The process is another program now, and holds nothing.")
c:reads_end()
c:close()
expect(client, "gone")
expect(server, "TIME_WAIT")
