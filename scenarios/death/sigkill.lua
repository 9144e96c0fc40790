-- SPDX-License-Identifier: MIT
scenario {
	title = "A process is killed",
	source = "Linux do_group_exit(), exit_files(); signal(7)",
	rfc = "3.6",
	shows = [[SIGKILL leaves a program no time to close anything; the kernel does it in its place, with a FIN. A
killed peer cannot be told from one that has closed.]],
}

local daemon = server:process("daemon")
local listener = daemon:listen()
local c = client:connect(server)
local s = listener:accept()
daemon:kill("KILL")
daemon:exits(128 + 9)
expect(server, "FIN_WAIT_2", { orphan = true, timer = true })
expect(client, "CLOSE_WAIT", { orphan = false })
observe("The server is dead; its kernel has sent the FIN.")
c:reads_end()
c:close()
expect(client, "gone")
expect(server, "TIME_WAIT")
