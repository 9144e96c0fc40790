-- SPDX-License-Identifier: MIT
scenario {
	title = "A pooled connection, looked at before its use",
	source = "RFC 9112 9.3.1, 9.6; recv(2), MSG_PEEK",
	rfc = "3.6",
	shows = [[A pool that tries a read before it hands out a connection finds the end of the stream, closes, and
connects anew: no request is lost, and no CLOSE_WAIT stays.]],
}

local listener = server:listen()
local pool = client:process("pool")
local c = pool:connect(server)
local s = listener:accept()
s:close()
expect(client, "CLOSE_WAIT", { told = false })
expect(server, "FIN_WAIT_2", { orphan = true })

step("The pool looks: a read without waiting.")
c:nonblocking()
c:reads_end()
expect(client, "CLOSE_WAIT", { told = true })
observe("Told.")
c:close()
expect(client, "gone")
expect(server, "TIME_WAIT")

step("It connects anew.")
local c2 = pool:connect(server)
local s2 = listener:accept()
c2:write("request")
check(s2:read(7) == "request", "the request arrives")
