-- SPDX-License-Identifier: MIT
scenario {
	title = "The last ACK is lost: what TIME_WAIT is for",
	source = "RFC 9293 3.6.1, 3.10.7.4 (TIME-WAIT, FIN: acknowledge, restart the timer); Linux tcp_timewait_state_process()",
	rfc = "3.6.1",
	shows = [[The server is left in LAST_ACK and sends its FIN again. TIME_WAIT at the client is there to answer it;
had the client forgotten, the server would get RST.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
c:close()
expect(server, "CLOSE_WAIT")
expect(client, "FIN_WAIT_2")
local lost = wire.drop { from = client, flags = "ACK" }
s:close()
lost:caught()
expect(client, "TIME_WAIT", { timer = true })
expect(server, "LAST_ACK", { orphan = true, timer = true })
observe("The server waits for an ACK that is lost.")

step("The FIN comes again, and TIME_WAIT answers it.")
lost:stop()
expect(server, "gone")
expect(client, "TIME_WAIT")
expect_packet(server, { flags = "FIN", retransmission = true })
expect_packet(client, { flags = "RST", count = 0 })
expect_path(server, "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "gone")
