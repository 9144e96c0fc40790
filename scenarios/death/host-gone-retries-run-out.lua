-- SPDX-License-Identifier: MIT
scenario {
	title = "The peer's host is gone, and the retransmissions run out",
	source = "RFC 9293 3.8.3 (R2); Linux tcp_write_timeout(), retransmits_timed_out(); sysctl tcp_retries2",
	rfc = "3.8.3",
	shows = [[Whoever writes learns in the end: after tcp_retries2 retransmissions, 15 by default, which takes a
quarter of an hour or more. Here 1, less than a second.]],
}

client:sysctl("ipv4/tcp_rto_min_us", 20000, { optional = true })
local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
wire.cut()
c:write("anybody there?")
observe("The client retransmits.")
client:sysctl("ipv4/tcp_retries2", 1)
c:read(1, { fails = "ETIMEDOUT", within = "30s" })
expect(client, "gone")
expect(server, "ESTABLISHED")
expect_packet(client, { retransmission = true })
