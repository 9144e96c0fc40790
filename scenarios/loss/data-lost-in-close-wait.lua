-- SPDX-License-Identifier: MIT
scenario {
	title = "The answer to a half-close is lost, and sent again",
	source = "RFC 9293 3.8.1, 3.10.7.4; Linux tcp_retransmit_timer()",
	rfc = "3.8.1",
	shows = [[CLOSE_WAIT sends and retransmits as ESTABLISHED does: half of the connection is as open as ever.]],
}

server:sysctl("ipv4/tcp_rto_min_us", 20000, { optional = true })
local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
c:shutdown("write")
expect(server, "CLOSE_WAIT")
expect(client, "FIN_WAIT_2")
local lost = wire.drop { from = server, data = true }
s:write("answer")
lost:caught()
expect(server, "CLOSE_WAIT", { send_q = 6, timer = true })
observe("The answer is lost.")
lost:stop()
check(c:read(6) == "answer", "the client reads the answer")
expect(server, "CLOSE_WAIT", { send_q = 0 })
expect_packet(server, { length = 6, retransmission = true })
s:close()
expect(server, "gone")
expect(client, "TIME_WAIT")
