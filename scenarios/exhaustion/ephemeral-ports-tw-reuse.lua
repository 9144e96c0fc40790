-- SPDX-License-Identifier: MIT
scenario {
	title = "tcp_tw_reuse gives the ports back",
	source = "RFC 6191; RFC 9293 3.6.1; Linux tcp_twsk_unique(); sysctl tcp_tw_reuse",
	rfc = "3.6.1",
	shows = [[With tcp_tw_reuse = 1 connect() may take a port whose TIME_WAIT is older than a second: timestamps tell
old segments from new. The server meets a SYN for a connection that it has forgotten long ago.]],
}

client:sysctl("ipv4/ip_local_port_range", "50000 50000")
client:sysctl("ipv4/tcp_tw_reuse", 1)
-- However slow the machine: the second that an entry has to be old begins when the scenario says so (Linux 6.14).
client:sysctl("ipv4/tcp_tw_reuse_delay", 60000, { optional = true })
local listener = server:listen()
local caller = client:process("caller")
local c = caller:connect(server)
local s = listener:accept()
c:close()
s:reads_end()
s:close()
expect(client, "TIME_WAIT")
expect(server, "gone")
caller:socket():connect(server, server.port, { fails = "EADDRNOTAVAIL" })
observe("Too soon: the entry is younger than a second.")

step("More than a second later.")
client:sysctl("ipv4/tcp_tw_reuse_delay", 1000, { optional = true })
wire.quiet { lasting = "1100ms" }
local c2 = caller:connect(server)
local s2 = listener:accept()
expect(client, "ESTABLISHED", { connection = 2 })
expect(server, "ESTABLISHED", { connection = 2 })
c2:write("again")
check(s2:read(5) == "again", "the new connection works")
