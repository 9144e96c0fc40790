-- SPDX-License-Identifier: MIT
scenario {
	title = "TCP_USER_TIMEOUT behind a shut window",
	source = "RFC 5482; RFC 9293 3.8.6.1; Linux tcp_probe_timer(): icsk_user_timeout",
	rfc = "3.8.6.1",
	loss = false, -- its end is a reset, which is never sent again
	shows = [[The peer is there and answers every probe, but its program never reads. A shut window may last for ever;
TCP_USER_TIMEOUT ends it, with ETIMEDOUT here and a reset for the peer.]],
}

server:sysctl("ipv4/tcp_rto_min_us", 20000, { optional = true })
local listener = server:listen()
local c = client:process("slow"):socket()
c:set("SO_RCVBUF", 4096)
c:connect(server, server.port)
local s = listener:accept()
s:set("TCP_USER_TIMEOUT", 1000)
s:nonblocking()
s:write(200000)
expect(server, "ESTABLISHED", { timer = true })
local probe = wire.watch { from = server, data = false }
probe:caught()
expect(client, "ESTABLISHED", { orphan = false })
observe("Probed, and answered.")
expect(server, "gone", { within = "30s" })
s:write("x", { fails = "ETIMEDOUT" })
expect_path(server, "ESTABLISHED", "gone")
