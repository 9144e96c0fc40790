-- SPDX-License-Identifier: MIT
scenario {
	title = "The client shuts down its side; the server goes on writing",
	source = "RFC 9293 3.6: a half-closed connection; RFC 1122 4.2.2.13",
	rfc = "3.6",
	shows = [[shutdown(SHUT_WR) says: no more questions. The other direction stays open: CLOSE_WAIT at the server is
here no fault but a half-close in use, and FIN_WAIT_2 at the client takes data as before.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()

c:write("GET")
c:shutdown("write")
check(s:read(3) == "GET", "the server reads the request")
s:reads_end()
expect(client, "FIN_WAIT_2", { orphan = false, timer = false })
expect(server, "CLOSE_WAIT", { orphan = false, told = true })

step("The server answers, in its own time.")
s:write("part 1,")
check(c:read(7) == "part 1,", "the client reads the first part")
s:write("part 2")
check(c:read(6) == "part 2", "the client reads the second part")
expect(client, "FIN_WAIT_2", { orphan = false, timer = false })
expect(server, "CLOSE_WAIT", { send_q = 0 })
observe("A half-close in use.")

step("The server closes when it is done.")
s:close()
c:reads_end()
expect(server, "gone")
expect(client, "TIME_WAIT")
c:close()
expect(client, "TIME_WAIT", { orphan = true })
expect_path(client, "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT")
expect_path(server, "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "gone")
