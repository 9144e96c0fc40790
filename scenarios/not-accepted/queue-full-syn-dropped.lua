-- SPDX-License-Identifier: MIT
scenario {
	title = "The accept queue is full: SYNs are dropped",
	source = "listen(2); Linux tcp_conn_request(), sk_acceptq_is_full()",
	rfc = "3.10.7.2",
	shows = [[A backlog of 0 holds one connection (the comparison is "more than"). The next SYN is dropped without a
word, and the client's connect() waits until its retransmitted SYN finds room.]],
}

local listener = server:listen(server.port, { backlog = 0 })
local first = client:process("first"):connect(server)
expect(server, "ESTABLISHED", { orphan = true })
local waiting = client:process("second"):socket()
waiting:begin("connect", server, server.port)
expect(client, "SYN_SENT", { connection = 2 })
expect(server, "gone", { connection = 2 })
observe("The second client's SYN was dropped.", { connection = 2 })

step("The server accepts the first: there is room when the SYN comes again, after a second.")
local s = listener:accept()
waiting:finish { within = "30s" }
expect(client, "ESTABLISHED", { connection = 2 })
expect(server, "ESTABLISHED", { connection = 2, orphan = true })
expect_packet(client, { flags = "SYN", retransmission = true })
