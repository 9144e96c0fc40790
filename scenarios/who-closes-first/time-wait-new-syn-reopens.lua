-- SPDX-License-Identifier: MIT
scenario {
	title = "A new SYN in TIME_WAIT opens the connection again",
	source = "RFC 9293 3.6.1, 3.10.7.4; RFC 6191; RFC 1122 4.2.2.13; Linux tcp_timewait_state_process(): TCP_TW_SYN",
	rfc = "3.6.1",
	shows = [[The server closed first and is in TIME_WAIT; the client comes again from the same port. Its SYN is newer
than anything of the old connection, by sequence number or timestamp, so the server's kernel lets go and accepts.]],
}

local listener = server:listen()
local caller = client:process("caller")
local c = caller:connect(server, server.port, { from = 40000 })
local s = listener:accept()
s:close()
c:reads_end()
c:close()
expect(server, "TIME_WAIT")
expect(client, "gone")
observe("TIME_WAIT at the server.")

step("The client connects again, from the same port.")
local c2 = caller:connect(server, server.port, { from = 40000 })
local s2 = listener:accept()
expect(server, "ESTABLISHED", { connection = 2 })
expect(client, "ESTABLISHED", { connection = 2 })
c2:write("again")
check(s2:read(5) == "again", "the new connection works")
