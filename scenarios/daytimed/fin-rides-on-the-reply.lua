-- SPDX-License-Identifier: MIT
scenario {
	title = "The FIN rides on the reply's segment",
	source = "daytimed(8); Linux tcp_send_fin()",
	rfc = "3.6",
	shows = [[daytimed sends with MSG_MORE and then shuts down its sending side: reply and FIN are one packet. The
textbook server beside it writes and closes: two.]],
}

-- MSG_MORE holds the reply back for one RTO (tcp_probe0_base()); on a machine that stands still for longer the
-- FIN would come behind it.
server:sysctl("ipv4/tcp_rto_min_us", 10000000, { optional = true })
local daytimed = server:run("daytimed", "--user=none", "--drain-time=60s", server.port)
local daytime = client:run("daytime", "--timeout=30s", server.address, daytimed:listens())
daytime:exits(0)
expect(server, "TIME_WAIT")
expect(client, "gone")
observe("daytimed: one packet.")
expect_packet(server, { flags = "FIN", length = 25, count = 1 })
expect_packet(server, { length = 25, without = "FIN", count = 0 })
expect_packet(server, { flags = "FIN", count = 1 })
expect_path(server, "ESTABLISHED", "FIN_WAIT_1", "TIME_WAIT")

step("The textbook server: write, close.")
local listener = server:listen(1300)
local c = client:connect(server, 1300)
local s = listener:accept()
s:write("Sun Nov 22 11:02:45 2026\n")
s:close()
check(c:read() == "Sun Nov 22 11:02:45 2026\n", "the reply")
c:reads_end()
c:close()
expect(server, "TIME_WAIT", { connection = 2 })
expect_packet(server, { length = 25, without = "FIN", count = 1, connection = 2 })
expect_packet(server, { flags = "FIN", length = 0, count = 1, connection = 2 })
