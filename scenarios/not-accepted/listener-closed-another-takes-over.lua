-- SPDX-License-Identifier: MIT
scenario {
	title = "The listener is closed, and another takes over who waits",
	source = "Linux inet_csk_listen_stop(), reuseport_migrate_sock(), commit 54b92e841937 (Linux 5.14); sysctl tcp_migrate_req",
	rfc = "3.9.1.5",
	shows = [[Two processes listen on one port (SO_REUSEPORT). With tcp_migrate_req the connections that wait in one
listener's queue when it is closed move to the other's, and nobody is reset: how a server is replaced without losing
a connection.]],
}

server:sysctl("ipv4/tcp_migrate_req", 1)
local old = server:process("old")
local first = old:listen(server.port, { reuseport = true })
local c = client:connect(server)
expect(server, "ESTABLISHED", { orphan = true })
c:write("question")
expect(server, "ESTABLISHED", { recv_q = 8 })
local second = server:process("new"):listen(server.port, { reuseport = true })
observe("One waits in the first listener's queue; a second one listens.")
first:close()
local s = second:accept()
check(s:read(8) == "question", "the second listener's process reads what was asked before")
expect(server, "ESTABLISHED", { orphan = false })
expect_packet(server, { flags = "RST", count = 0 })
observe("Accepted by the other.")
s:write("answer")
s:close()
check(c:read() == "answer", "the client has its answer")
c:reads_end()
c:close()
expect(client, "gone")
expect(server, "TIME_WAIT")
