-- SPDX-License-Identifier: MIT
scenario {
	title = "An orphan's retries run out in FIN_WAIT_1",
	source = "Linux tcp_write_timeout(), tcp_orphan_retries(); sysctl tcp_orphan_retries",
	rfc = "3.8.3",
	shows = [[The peer's host has vanished; the program has closed. The kernel sends the FIN again tcp_orphan_retries
times (8 by default, some minutes; here 2), then forgets the connection without a word.]],
}

client:sysctl("ipv4/tcp_rto_min_us", 20000, { optional = true })
local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
wire.cut()
c:close()
expect(client, "FIN_WAIT_1", { orphan = true, timer = true })
observe("The FIN cannot arrive.")
client:sysctl("ipv4/tcp_orphan_retries", 2)
expect(client, "gone", { within = "30s" })
expect(server, "ESTABLISHED", { timer = false })
expect_packet(client, { flags = "FIN", retransmission = true })
expect_path(client, "ESTABLISHED", "FIN_WAIT_1", "gone")
