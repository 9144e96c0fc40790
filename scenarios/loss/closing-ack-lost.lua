-- SPDX-License-Identifier: MIT
scenario {
	title = "Both close at once, and the ACKs are lost",
	source = "RFC 9293 3.10.7.4 (CLOSING); Linux tcp_retransmit_timer()",
	rfc = "3.6",
	shows = [[CLOSING lasts as long as the ACK is missing: both ends send their FIN again, and a FIN that is sent again
acknowledges the other's. So the FINs themselves end it.]],
}

client:sysctl("ipv4/tcp_rto_min_us", 50000, { optional = true })
server:sysctl("ipv4/tcp_rto_min_us", 50000, { optional = true })
local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
local held = wire.hold {}
c:close()
s:close()
expect(client, "FIN_WAIT_1")
expect(server, "FIN_WAIT_1")
wire.release()
expect(client, "CLOSING", { orphan = true, timer = true })
expect(server, "CLOSING", { orphan = true, timer = true })
observe("CLOSING at both ends; the ACKs never arrive.")

step("From here on the wire carries again; what it held is lost.")
held:stop()
expect(client, "TIME_WAIT")
expect(server, "TIME_WAIT")
expect_path(client, "ESTABLISHED", "FIN_WAIT_1", "CLOSING", "TIME_WAIT")
