-- SPDX-License-Identifier: MIT
scenario {
	title = "A client that half-closes first gets its reply",
	source = "daytimed(8); RFC 9293 3.6",
	rfc = "3.6",
	shows = [[The client has nothing to say and says so with a FIN before it reads. It is then the closer: no TIME_WAIT stays at
the server. The textbook server does as well here: nothing is left unread when it closes.]],
}

-- MSG_MORE holds the reply back for one RTO (tcp_probe0_base()); on a machine that stands still for longer the
-- FIN would come behind it.
server:sysctl("ipv4/tcp_rto_min_us", 10000000, { optional = true })
local daytimed = server:run("daytimed", "--user=none", "--drain-time=60s", server.port)
local port = daytimed:listens()
daytimed:kill("STOP")
local c = client:connect(server, port)
c:shutdown("write")
expect(server, "CLOSE_WAIT")
expect(client, "FIN_WAIT_2")
observe("The client has half-closed; the server has not accepted yet.")
daytimed:kill("CONT")
check(#c:read() == 25, "the whole reply")
c:reads_end()
c:close()
expect(server, "gone")
expect(client, "TIME_WAIT")
expect_packet(server, { flags = "RST", count = 0 })
expect_packet(server, { flags = "FIN", length = 25 })
expect_path(server, "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "gone")
expect_path(client, "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT")
