-- SPDX-License-Identifier: MIT
scenario {
	title = "TIME_WAIT uses up the client's ports",
	source = "connect(2), EADDRNOTAVAIL; ip(7), ip_local_port_range; Linux __inet_hash_connect(), tcp_twsk_unique()",
	rfc = "3.6.1",
	shows = [[A client that closes first needs a port for 60 s after each connection to the same server. With the range
used up (4 here) connect() fails with EADDRNOTAVAIL, though no connection is open.]],
}

client:sysctl("ipv4/ip_local_port_range", "50000 50003")
client:sysctl("ipv4/tcp_tw_reuse", 0)
local listener = server:listen()
local caller = client:process("caller")
for n = 1, 4 do
	local c = caller:connect(server)
	local s = listener:accept()
	c:close()
	s:reads_end()
	s:close()
	expect(client, "TIME_WAIT", { connection = n })
	expect(server, "gone", { connection = n })
end
caller:socket():connect(server, server.port, { fails = "EADDRNOTAVAIL" })
observe("Four ports, four times TIME_WAIT.", { connection = 4 })

step("To another port of the server they are free.")
local other = server:listen(14)
caller:connect(server, 14)
expect(client, "ESTABLISHED", { connection = 5 })
expect(server, "ESTABLISHED", { connection = 5 })
