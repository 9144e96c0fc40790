-- SPDX-License-Identifier: MIT
scenario {
	title = "The retries run out in CLOSING",
	source = "Linux tcp_write_timeout(), tcp_orphan_retries()",
	rfc = "3.8.3",
	shows = [[Both have closed at once, and then the link fails: neither FIN is ever acknowledged. Both kernels give up,
each for itself, without TIME_WAIT.]],
}

for _, host in ipairs { client, server } do
	host:sysctl("ipv4/tcp_rto_min_us", 20000, { optional = true })
end
local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
wire.hold {}
c:close()
s:close()
expect(client, "FIN_WAIT_1")
expect(server, "FIN_WAIT_1")
wire.release()
expect(client, "CLOSING", { orphan = true, timer = true })
expect(server, "CLOSING", { orphan = true, timer = true })
observe("The link is cut.")
for _, host in ipairs { client, server } do
	host:sysctl("ipv4/tcp_orphan_retries", 2)
end
expect(client, "gone", { within = "30s" })
expect(server, "gone", { within = "30s" })
expect_path(client, "ESTABLISHED", "FIN_WAIT_1", "CLOSING", "gone")
