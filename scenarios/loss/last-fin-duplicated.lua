-- SPDX-License-Identifier: MIT
scenario {
	title = "The last FIN arrives twice: TIME_WAIT is assassinated",
	source = "RFC 1337; Linux tcp_timewait_state_process(), tcp_v4_send_reset()",
	rfc = "3.10.7.4",
	loss = false, -- about what tcp_rfc1337 prevents, which is set where packets are lost
	shows = [[TIME_WAIT answers the second copy of the FIN, as it must. But by then the server has had its ACK and is
gone: it answers with RST, and Linux lets that end TIME_WAIT. With tcp_rfc1337 the entry stays.]],
}

local listener = server:listen()
local function finish(connection)
	local c = client:connect(server)
	local s = listener:accept()
	c:close()
	expect(client, "FIN_WAIT_2", { connection = connection })
	local twice = wire.duplicate { from = server, flags = "FIN" }
	s:close()
	expect(server, "gone", { connection = connection })
	twice:stop()
end

finish(1)
expect(client, "gone")
expect_packet(server, { flags = "RST", count = 1 })
observe("No TIME_WAIT is left.")
expect_path(client, "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT", "gone")

client:sysctl("ipv4/tcp_rfc1337", 1)
finish(2)
wire.quiet()
expect(client, "TIME_WAIT", { connection = 2 })
expect_packet(server, { flags = "RST", count = 2 })
observe("The same with tcp_rfc1337.", { connection = 2 })
