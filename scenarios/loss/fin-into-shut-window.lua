-- SPDX-License-Identifier: MIT
scenario {
	title = "A FIN comes although the window is shut",
	source = "Linux tcp_data_queue(); RFC 9293 3.10.7.4, first: check sequence number",
	rfc = "3.10.7.4",
	loss = false, -- the window has to be shut when the FIN comes, and a loss makes it late
	shows = [[A FIN needs a place in the window like any byte, and Linux never sends one into a shut window; other stacks do.
Linux 6.18 takes it all the same, where refusing it could go on for ever; kernels that do not only acknowledge what
they have.]],
}

local listener = server:listen()
local c = client:process("slow"):socket()
c:set("SO_RCVBUF", 4096)
c:connect(server, server.port)
local s = listener:accept()
s:nonblocking()
s:write(200000)
wire.quiet()
expect(server, "ESTABLISHED")
check(sample(server).window == 0, "the client's window is shut")
local before = sample(client).recv_q
local answer = wire.watch { from = client, flags = "ACK", data = false }
wire.inject(client, { flags = "FIN ACK" })
answer:caught()
wire.quiet()
expect(client, { "CLOSE_WAIT", "ESTABLISHED" })
local taken = sample(client).state == "CLOSE_WAIT"
check(sample(client).recv_q == before + (taken and 1 or 0), "the FIN is taken, and nothing else; or all is as before")
expect(server, "ESTABLISHED")
observe(taken and "Taken: CLOSE_WAIT." or "Refused: this kernel has no room for it.")
expect_packet(client, { flags = "RST", count = 0 })
