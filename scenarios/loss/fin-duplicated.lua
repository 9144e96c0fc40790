-- SPDX-License-Identifier: MIT
scenario {
	title = "The FIN arrives twice",
	source = "RFC 9293 3.10.7.4, eighth: check the FIN bit; Linux tcp_data_queue()",
	rfc = "3.10.7.4",
	shows = [[The second copy of a FIN is old data: it is acknowledged again and changes nothing, in CLOSE_WAIT a
read returns 0 as often as one likes.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
wire.duplicate { from = client, flags = "FIN" }
c:close()
expect(server, "CLOSE_WAIT", { recv_q = 1 })
expect(client, "FIN_WAIT_2")
wire.quiet()
expect(server, "CLOSE_WAIT", { recv_q = 1 })
observe("The second FIN has changed nothing.")
s:reads_end()
s:reads_end()
s:close()
expect(server, "gone")
expect(client, "TIME_WAIT")
