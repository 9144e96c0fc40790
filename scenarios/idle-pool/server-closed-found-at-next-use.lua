-- SPDX-License-Identifier: MIT
scenario {
	title = "A pooled connection, found dead only at its next use",
	source = "RFC 9112 9.5, 9.6 (idle connections may be closed at any time); RFC 9293 3.6.1",
	rfc = "3.6.1",
	shows = [[The server closes a connection that was idle too long. The client's pool does not read, so it does not
learn: CLOSE_WAIT. Its next request is written successfully, and then fails with ECONNRESET.]],
}

local listener = server:listen()
local pool = client:process("pool")
local c = pool:connect(server)
local s = listener:accept()
c:write("request 1")
check(s:read(9) == "request 1", "the server reads the first request")
s:write("reply 1")
check(c:read(7) == "reply 1", "the client reads the first reply")

step("The connection goes back to the pool; the server's idle timeout passes.")
s:close()
expect(server, "FIN_WAIT_2", { orphan = true, timer = true })
expect(client, "CLOSE_WAIT", { orphan = false, told = false, recv_q = 1 })
observe("Dead, and in the pool.")

step("The next request.")
check(c:write("request 2") == 9, "the request is written")
expect(client, "gone")
check(c:read() == "", "the reply is the end of the stream, from before")
c:write("request 2 again", { fails = "EPIPE" })
expect(server, "gone")
