-- SPDX-License-Identifier: MIT
scenario {
	title = "Writing to a peer that has closed: RST, then EPIPE",
	source = "RFC 9293 3.10.7.4 (data after CLOSE); RFC 1122 4.2.2.13; Linux tcp_rcv_state_process()",
	rfc = "3.6.1",
	shows = [[The server closes. To the client that looks like a half-close, so its first write succeeds, and only
the packet learns the truth: the server's kernel has nobody to give the data to, and resets. The second write
fails with EPIPE, as the reset was reported by neither.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
s:close()
expect(client, "CLOSE_WAIT", { orphan = false })
expect(server, "FIN_WAIT_2", { orphan = true, timer = true })

step("The client writes once more.")
check(c:write("more") == 4, "the first write succeeds")
expect(client, "gone")
expect(server, "gone")
expect_packet(server, { flags = "RST" })
observe("One write, and nothing is left of either end but a descriptor.")

step("And once more.")
c:write("more", { fails = "EPIPE" })
check(c:read() == "", "a read finds the end of the stream that the FIN was")
expect_path(client, "ESTABLISHED", "CLOSE_WAIT", "gone")
expect_path(server, "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "gone")
