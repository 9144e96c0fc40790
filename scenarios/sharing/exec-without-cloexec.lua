-- SPDX-License-Identifier: MIT
scenario {
	title = "A program inherits a socket that it knows nothing of",
	source = "execve(2); fcntl(2), FD_CLOEXEC",
	rfc = "3.6",
	shows = [[A server starts a helper, and has not set close-on-exec. The helper, here cat, holds the connection as
long as it lives: the server's own close() sends nothing.]],
}

local daemon = server:process("daemon")
local listener = daemon:listen()
local c = client:process("caller"):connect(server)
local s = listener:accept()
local helper = daemon:fork("helper")
helper:exec("cat", { keep = true })

step("The client closes, and the server does.")
c:close()
expect(server, "CLOSE_WAIT")
s:reads_end()
s:close()
wire.quiet()
expect(server, "CLOSE_WAIT", { orphan = false })
expect(client, "FIN_WAIT_2", { orphan = true, timer = true })
expect_packet(server, { flags = "FIN", count = 0 })
observe("Held by a program that has no use for it.")

step("The helper is ended.")
helper:kill("TERM")
expect(server, "gone")
expect(client, "TIME_WAIT")
expect_path(server, "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "gone")
