-- SPDX-License-Identifier: MIT
scenario {
	title = "Neither closes",
	source = "RFC 9293 3.8.4: keep-alives are off by default",
	rfc = "3.8.4",
	shows = [[Without a close nothing ends a connection: no packet passes, no timer runs, at either end. It lasts
until a process exits or a host is switched off, and then only the end that learns of it knows.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
c:write("question")
check(s:read(8) == "question", "the server reads the question")
s:write("answer")
check(c:read(6) == "answer", "the client reads the answer")

step("Nobody closes.")
wire.quiet()
expect(client, "ESTABLISHED", { orphan = false, timer = false, send_q = 0, recv_q = 0 })
expect(server, "ESTABLISHED", { orphan = false, timer = false, send_q = 0, recv_q = 0 })
observe("Nothing will happen.")
