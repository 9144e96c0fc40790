-- SPDX-License-Identifier: MIT
scenario {
	title = "The server shuts down its side; the client goes on writing",
	source = "RFC 9293 3.6",
	rfc = "3.6",
	shows = [[The same half-close the other way round: the server has said all that it will, and still reads. Who
is in FIN_WAIT_2 is who shut down first, not who is the client.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()

s:write("welcome")
s:shutdown("write")
check(c:read(7) == "welcome", "the client reads the welcome")
c:reads_end()
expect(server, "FIN_WAIT_2", { orphan = false, timer = false })
expect(client, "CLOSE_WAIT", { orphan = false, told = true })

step("The client writes on, and the server reads it.")
c:write("upload")
check(s:read(6) == "upload", "the server reads what came after its own FIN")
observe("Data flows towards the end in FIN_WAIT_2.")
c:close()
s:reads_end()
expect(client, "gone")
expect(server, "TIME_WAIT")
s:close()
expect(server, "TIME_WAIT", { orphan = true })
