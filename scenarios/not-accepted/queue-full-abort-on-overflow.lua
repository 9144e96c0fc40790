-- SPDX-License-Identifier: MIT
scenario {
	title = "The queue fills, and tcp_abort_on_overflow resets",
	source = "Linux tcp_check_req(); sysctl tcp_abort_on_overflow",
	rfc = "3.5",
	loss = false, -- a reset is never sent again
	shows = [[With tcp_abort_on_overflow the client that finds no room in the queue is told: its connection, just
made, is reset.]],
}

server:sysctl("ipv4/tcp_abort_on_overflow", 1)
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
expect(client, "gone", { connection = 4 })
expect(server, "gone", { connection = 4 })
observe("The fourth client was reset.", { connection = 4 })
fourth:read(1, { fails = "ECONNRESET" })
expect(client, "ESTABLISHED")
