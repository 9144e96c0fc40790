-- SPDX-License-Identifier: MIT
scenario {
	title = "SO_LINGER with a deadline: close() waits for the ACK",
	source = "socket(7), SO_LINGER; Linux inet_release(), sk_stream_wait_close()",
	rfc = "3.9.1.5",
	shows = [[close() does not return before the peer has acknowledged data and FIN, or the deadline has passed. It
proves that the peer's kernel has the data, not that its program has read it.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
s:set("SO_LINGER", 5)

step("The server writes and closes; the client's ACKs are held.")
local acks = wire.hold { from = client }
s:write("data")
s:begin("close")
expect(server, "FIN_WAIT_1", { orphan = false })
observe("The server's process is in close().")

step("The ACKs arrive.")
acks:release()
s:finish()
expect(server, "FIN_WAIT_2", { orphan = true })
expect(client, "CLOSE_WAIT", { recv_q = 5 })
observe("close() has returned; the client has read nothing.")
check(c:read(4) == "data", "the client reads the data")
c:reads_end()
c:close()
expect(client, "gone")
expect(server, "TIME_WAIT")

step("A socket that was never connected has nothing to wait for.")
local idle = server:process("idle"):socket()
idle:set("SO_LINGER", 60)
idle:close { within = "20s" }
