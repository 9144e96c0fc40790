-- SPDX-License-Identifier: MIT
scenario {
	title = "An orphan's FIN_WAIT_2 runs out, and a late write meets RST",
	source = "tcp(7), tcp_fin_timeout; Linux tcp_fin_time(), tcp_time_wait(); RFC 1122 4.2.2.20",
	rfc = "3.6",
	shows = [[TCP itself knows no such timer: Linux forgets FIN_WAIT_2 without a descriptor after 60 s (here 3 s), and
does not tell the peer. The server's CLOSE_WAIT stays; its next write is answered with RST.]],
}

-- The timer is never shorter than 3.5 times the retransmission time-out: tcp_fin_time().
client:sysctl("ipv4/tcp_rto_min_us", 20000, { optional = true })
client:sysctl("ipv4/tcp_fin_timeout", 3)
local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
c:close()
expect(client, "FIN_WAIT_2", { orphan = true, timer = true })
expect(server, "CLOSE_WAIT")
observe("The client's kernel gives the server 3 s.")
expect(client, "gone", { within = "30s" })
expect(server, "CLOSE_WAIT", { orphan = false, timer = false })
observe("CLOSE_WAIT without a peer.")

step("The server writes at last.")
s:write("too late")
expect(server, "gone")
expect_packet(client, { flags = "RST" })
s:write("x", { fails = "EPIPE" })
expect_path(client, "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "gone")
expect_path(server, "ESTABLISHED", "CLOSE_WAIT", "gone")
