-- SPDX-License-Identifier: MIT
scenario {
	title = "close() behind a window that is shut",
	source = "RFC 9293 3.8.6.1 (zero-window probes); Linux tcp_probe_timer(), tcp_write_wakeup()",
	rfc = "3.8.6.1",
	loss = false, -- a lost probe doubles the wait for the next
	shows = [[The server has more to send than the client takes, and closes. The FIN waits behind the data: the state
is FIN_WAIT_1, though no FIN has been sent. Probes ask for the window until the client reads.]],
}

server:sysctl("ipv4/tcp_rto_min_us", 20000, { optional = true })
local listener = server:listen()
local caller = client:process("caller")
local c = caller:socket()
c:set("SO_RCVBUF", 4096)
c:connect(server, server.port)
local s = listener:accept()
s:nonblocking()
s:write(200000)
wire.quiet()
s:close()
expect(server, "FIN_WAIT_1", { orphan = true, timer = true })
expect_packet(server, { flags = "FIN", count = 0 })
local before = sample(server).send_q
check(before > 1, "data waits before the FIN")
observe("Closed, with the window shut.")

step("The client reads; the window opens, data and FIN follow.")
local part
repeat
	part = c:read(4096)
until part == ""
expect(client, "CLOSE_WAIT")
expect(server, "FIN_WAIT_2")
c:close()
expect(client, "gone")
expect(server, "TIME_WAIT")
