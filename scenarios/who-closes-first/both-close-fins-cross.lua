-- SPDX-License-Identifier: MIT
scenario {
	title = "Both close at once",
	source = "RFC 9293 3.6 case 3, figure 13",
	rfc = "3.6",
	loss = false,
	shows = [[Both FINs are on the wire at the same time. Each end finds the other's FIN where it waited for an
ACK: CLOSING at both ends, and TIME_WAIT at both.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()

step("Both close; the FINs are held on the wire until both have.")
wire.hold { flags = "FIN", times = 2 }
c:close()
s:close()
expect(client, "FIN_WAIT_1", { orphan = true })
expect(server, "FIN_WAIT_1", { orphan = true })
local acks = wire.hold { flags = "ACK", without = "FIN" }

step("The FINs arrive; the ACKs of them are held.")
wire.release()
expect(client, "CLOSING", { orphan = true })
expect(server, "CLOSING", { orphan = true })
observe("CLOSING at both ends: each knows that the other is done, neither that its own FIN arrived.")

step("The ACKs arrive.")
acks:stop()
wire.release()
expect(client, "TIME_WAIT", { orphan = true })
expect(server, "TIME_WAIT", { orphan = true })
expect_path(client, "ESTABLISHED", "FIN_WAIT_1", "CLOSING", "TIME_WAIT")
expect_path(server, "ESTABLISHED", "FIN_WAIT_1", "CLOSING", "TIME_WAIT")
