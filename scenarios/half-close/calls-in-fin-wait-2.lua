-- SPDX-License-Identifier: MIT
scenario {
	title = "What a program can do in FIN_WAIT_2",
	source = "RFC 9293 3.10.2, 3.10.3, 3.10.4; Linux tcp_shutdown(), tcp_recvmsg_locked()",
	rfc = "3.10.3",
	shows = [[Its FIN is acknowledged; the client reads on. Once it has shut down reading as well, read() returns 0
although the stream has not ended, and data that comes now is answered with RST: nobody is left for it.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
c:shutdown("write")
expect(client, "FIN_WAIT_2", { orphan = false, timer = false })
c:write("x", { fails = "EPIPE" })
c:shutdown("write")
s:write("reply")
check(c:read(5) == "reply", "the client reads")

step("It shuts down reading, too.")
c:shutdown("read")
c:reads_end()
expect(client, "FIN_WAIT_2", { orphan = false })
expect(server, "CLOSE_WAIT", { send_q = 0 })
observe("Still FIN_WAIT_2: nobody has told the server.")
s:write("more")
expect(client, "gone")
expect(server, "gone")
expect_packet(client, { flags = "RST" })
s:write("x", { fails = "EPIPE" })
