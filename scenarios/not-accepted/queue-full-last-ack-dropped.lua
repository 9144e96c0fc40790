-- SPDX-License-Identifier: MIT
scenario {
	title = "The queue fills during the handshake",
	source = "Linux tcp_v4_syn_recv_sock(), tcp_check_req(); sysctl tcp_abort_on_overflow (0)",
	rfc = "3.5",
	shows = [[Two handshakes are under way for one place in the queue. The later client is ESTABLISHED as far as it
knows, and the server's kernel ignores its ACK: SYN_RECV. It sends SYN ACK again until there is room.]],
}

local listener = server:listen(server.port, { backlog = 2 })
local early = client:process("early")
early:connect(server)
early:connect(server)
expect(server, "ESTABLISHED", { connection = 2, orphan = true })

step("Two more, whose last ACKs are held: one place is left.")
local hold = wire.hold { from = client, flags = "ACK" }
local third = client:process("third"):connect(server)
local fourth = client:process("fourth"):connect(server)
expect(server, "SYN_RECV", { connection = 3 })
expect(server, "SYN_RECV", { connection = 4 })
hold:release()
expect(server, "ESTABLISHED", { connection = 3, orphan = true })
expect(server, "SYN_RECV", { connection = 4 })
expect(client, "ESTABLISHED", { connection = 4 })
observe("The client believes it is connected; the server does not.", { connection = 4 })

step("The server accepts one; the fourth's SYN ACK comes again, and its ACK finds room.")
local s = listener:accept()
expect(server, "ESTABLISHED", { connection = 4, orphan = true, within = "30s" })
