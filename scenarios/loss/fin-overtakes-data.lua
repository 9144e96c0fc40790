-- SPDX-License-Identifier: MIT
scenario {
	title = "The FIN overtakes the data",
	source = "RFC 9293 3.10.7.4 (segments out of order are held); Linux tcp_data_queue_ofo(), tcp_ofo_queue()",
	rfc = "3.10.7.4",
	shows = [[The FIN arrives before the data that it ends. It waits in the out-of-order queue: no state changes until
what is missing has arrived.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
local held = wire.hold { from = client, data = true }
c:write("data")
c:close()
wire.quiet()
expect(client, "FIN_WAIT_1")
expect(server, "ESTABLISHED", { recv_q = 0 })
observe("The FIN has arrived, and counts for nothing yet.")
held:release()
expect(server, "CLOSE_WAIT", { recv_q = 5 })
expect(client, "FIN_WAIT_2")
check(s:read(4) == "data", "the server reads the data")
s:reads_end()
s:close()
expect(server, "gone")
expect(client, "TIME_WAIT")
