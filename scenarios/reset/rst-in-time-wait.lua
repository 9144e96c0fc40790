-- SPDX-License-Identifier: MIT
scenario {
	title = "A reset ends TIME_WAIT, unless tcp_rfc1337 forbids it",
	source = "RFC 1337; Linux tcp_timewait_state_process()",
	rfc = "3.10.7.4",
	loss = false, -- about what tcp_rfc1337 prevents, which is set where packets are lost
	shows = [[TIME-WAIT assassination: a stray reset removes the entry whose job it is to wait for strays. Linux lets
it happen by default; with tcp_rfc1337 it ignores resets in TIME_WAIT.]],
}

local listener = server:listen()
local function finish(connection)
	local c = client:connect(server)
	local s = listener:accept()
	c:close()
	expect(client, "FIN_WAIT_2", { connection = connection })
	s:reads_end()
	s:close()
	expect(client, "TIME_WAIT", { connection = connection })
	expect(server, "gone", { connection = connection })
end

finish(1)
step("A stray reset arrives.")
wire.inject(client, { flags = "RST" })
expect(client, "gone")

client:sysctl("ipv4/tcp_rfc1337", 1)
finish(2)
step("A stray reset arrives again.")
wire.inject(client, { flags = "RST", connection = 2 })
expect(client, "TIME_WAIT", { connection = 2, timer = true })
observe("Ignored.", { connection = 2 })
expect_path(client, "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT", "gone")
