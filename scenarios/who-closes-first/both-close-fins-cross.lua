-- SPDX-License-Identifier: MIT
scenario {
	title = "Both close at once",
	source = "RFC 9293 3.6 case 3, figure 13",
	rfc = "3.6",
	shows = [[Both FINs are on the wire at the same time. Each end finds the other's FIN where it waited for an
ACK: CLOSING at both ends, and TIME_WAIT at both.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()

step("Both close; whatever is sent is held on the wire.")
local held = wire.hold {}
c:close()
s:close()
expect(client, "FIN_WAIT_1", { orphan = true })
expect(server, "FIN_WAIT_1", { orphan = true })

step("The FINs arrive; the ACKs of them are held in their turn.")
wire.release()
expect(client, "CLOSING", { orphan = true })
expect(server, "CLOSING", { orphan = true })
observe("CLOSING at both ends: each knows that the other is done, neither that its own FIN arrived.")

step("The ACKs arrive.")
held:release()
expect(client, "TIME_WAIT", { orphan = true })
expect(server, "TIME_WAIT", { orphan = true })
expect_path(client, "ESTABLISHED", "FIN_WAIT_1", "CLOSING", "TIME_WAIT")
expect_path(server, "ESTABLISHED", "FIN_WAIT_1", "CLOSING", "TIME_WAIT")
