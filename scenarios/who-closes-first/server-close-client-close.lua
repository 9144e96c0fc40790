-- SPDX-License-Identifier: MIT
scenario {
	title = "The server closes first",
	source = "RFC 9293 3.6 case 1; Linux tcp_time_wait(), TCP_TIMEWAIT_LEN",
	rfc = "3.6",
	shows = [[Who closes first keeps TIME_WAIT, here the server, for 60 s: a number fixed in Linux.
The server has ended by then; its kernel remembers in its place.]],
}

local daemon = server:process("daemon")
local listener = daemon:listen()
local c = client:process("reader"):connect(server)
local s = listener:accept()

step("The server closes, then the client.")
s:write("hello")
s:close()
check(c:read(5) == "hello", "the client reads the reply")
c:reads_end()
expect(client, "CLOSE_WAIT", { orphan = false, told = true })
expect(server, "FIN_WAIT_2", { orphan = true, timer = true })
c:close()
expect(client, "gone")
expect(server, "TIME_WAIT", { orphan = true, timer = true })
local left = sample(server).timer_ms
check(left > 50000 and left <= 60000, "TIME_WAIT has up to 60 s to go")
observe("Only the server's kernel remembers.")

expect_path(server, "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT")
expect_path(client, "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "gone")
