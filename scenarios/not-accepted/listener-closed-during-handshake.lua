-- SPDX-License-Identifier: MIT
scenario {
	title = "The listener ends during the handshake",
	source = "Linux inet_csk_listen_stop(), tcp_v4_rcv() (TCP_NEW_SYN_RECV): the listener is looked up again",
	rfc = "3.10.7.4",
	loss = false, -- a reset is never sent again
	shows = [[The listener is closed, or shut down, between the SYN ACK and the ACK. The client is ESTABLISHED as far as
it knows; its ACK finds nobody who could accept, and is answered with RST.]],
}

local function handshake(number, ends)
	local here = { connection = number }
	local listener = server:listen(server.port + number)
	local held = wire.hold { from = client, flags = "ACK", without = "RST" }
	local c = client:connect(server, server.port + number)
	expect(server, "SYN_RECV", here)
	expect(client, "ESTABLISHED", here)
	ends(listener)
	wire.quiet()
	expect(client, "ESTABLISHED", here)
	expect_packet(server, { flags = "RST", count = 0, connection = number })
	held:release()
	expect(client, "gone", here)
	expect(server, "gone", here)
	c:read(1, { fails = "ECONNRESET" })
	expect_packet(server, { flags = "RST", connection = number }) -- for each ACK: one, or after a second more
end

step("close().")
handshake(1, function(listener) listener:close() end)
observe("Reset, after it had been connected.")
step("shutdown().")
handshake(2, function(listener) listener:shutdown("read") end)
