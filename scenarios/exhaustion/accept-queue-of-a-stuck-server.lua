-- SPDX-License-Identifier: MIT
scenario {
	title = "A server that does not accept fills its queue",
	source = "listen(2); Linux sk_acceptq_is_full(); tcp_v4_syn_recv_sock()",
	rfc = "3.10.7.2",
	shows = [[The program is stuck; the kernel goes on connecting clients until backlog + 1 wait. They all give up:
the queue is full of CLOSE_WAIT, and new clients cannot connect although nobody is connected.]],
}

local listener = server:listen(server.port, { backlog = 3 })
local caller = client:process("caller")
for n = 1, 4 do
	caller:connect(server):close()
	expect(server, "CLOSE_WAIT", { connection = n, orphan = true })
	expect(client, "FIN_WAIT_2", { connection = n, orphan = true })
end
local c = client:process("late"):socket()
c:begin("connect", server, server.port)
expect(client, "SYN_SENT", { connection = 5 })
expect(server, "gone", { connection = 5 })
observe("Four that have given up keep the fifth out.", { connection = 5 })

step("The server wakes up and empties its queue.")
for _ = 1, 4 do
	listener:accept():close()
end
c:finish { within = "30s" }
expect(server, "ESTABLISHED", { connection = 5 })
expect(client, "ESTABLISHED", { connection = 5 })
expect(server, "gone")
expect(client, "TIME_WAIT")
