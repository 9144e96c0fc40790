-- SPDX-License-Identifier: MIT
scenario {
	title = "A stray reset is questioned, not believed",
	source = "RFC 5961 3.2; RFC 9293 3.10.7.4; Linux tcp_validate_incoming(), tcp_send_challenge_ack()",
	rfc = "3.10.7.4",
	shows = [[A reset counts only where its sequence number is exactly the next one. One that lies within the window
gets a challenge ACK; one outside it gets nothing. Neither changes a state.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
c:close()
expect(server, "CLOSE_WAIT")
expect(client, "FIN_WAIT_2")
wire.quiet()

step("Within the window, but not in place.")
wire.inject(server, { flags = "RST", seq = 100 })
wire.quiet()
expect(server, "CLOSE_WAIT", { orphan = false })
expect_packet(server, { flags = "ACK", without = "SYN", length = 0, count = 2 })

step("Far outside the window.")
wire.inject(server, { flags = "RST", seq = 1 + 0x40000000 })
wire.quiet()
expect(server, "CLOSE_WAIT", { orphan = false })
expect(client, "FIN_WAIT_2")
observe("Two resets from nobody, and nothing has happened.")
s:close()
expect(server, "gone")
expect(client, "TIME_WAIT")

step("Nobody is there any more: a FIN is answered with RST, a reset with nothing.")
local answers = wire.drop { from = server }
wire.inject(server, { flags = "FIN ACK" })
answers:caught()
expect_packet(server, { flags = "RST", count = 1 })
wire.inject(server, { flags = "RST" })
wire.inject(server, { flags = "RST ACK" })
wire.quiet()
expect_packet(server, { flags = "RST", count = 1 })
