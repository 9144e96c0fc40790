-- SPDX-License-Identifier: MIT
scenario {
	title = "SHUT_RDWR behind data that has not been sent, or not been acknowledged",
	source = "Linux tcp_shutdown(), tcp_send_fin(): the FIN takes its place behind the queue; RFC 9293 3.10.4",
	rfc = "3.10.4",
	shows = [[shutdown() does not wait for the queue: the state is FIN_WAIT_1 at once, reading gives 0 and writing EPIPE,
while the FIN stands behind data that the congestion window does not let go. close() changes nothing of that, and the
peer reads everything.]],
}

local listener = server:listen()
local function read_all(socket)
	local got, part = 0, nil
	repeat
		part = socket:read(4096)
		got = got + #part
	until part == ""
	return got
end

local c = client:connect(server)
local s = listener:accept()
local acks = wire.hold { from = client }
check(s:write(40000) == 40000, "the kernel takes 40000 bytes")
wire.quiet()
s:shutdown("both")
expect(server, "FIN_WAIT_1", { orphan = false, timer = true })
wire.quiet()
expect_packet(server, { flags = "FIN", count = 0 })
s:reads_end()
s:write("x", { fails = "EPIPE" })
s:close()
expect(server, "FIN_WAIT_1", { orphan = true })
observe("Shut down and closed; the FIN waits behind the data.")
acks:release()
check(read_all(c) == 40000, "the client reads all of it, and then the end of the stream")
expect(server, "FIN_WAIT_2", { orphan = true })
c:close()
expect(server, "TIME_WAIT")
expect(client, "gone")
expect_path(server, "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT")

step("All is sent, and nothing acknowledged.")
c = client:connect(server)
s = listener:accept()
acks = wire.hold { from = client }
s:write("the last of it")
s:shutdown("both")
expect(server, "FIN_WAIT_1", { connection = 2, send_q = 15, orphan = false })
expect_packet(server, { flags = "FIN", connection = 2 })
s:reads_end()
s:write("x", { fails = "EPIPE" })
s:close()
expect(server, "FIN_WAIT_1", { connection = 2, send_q = 15, orphan = true, timer = true })
acks:release()
check(read_all(c) == 14, "the client reads it")
expect(server, "FIN_WAIT_2", { connection = 2 })
c:close()
expect(server, "TIME_WAIT", { connection = 2 })
expect_packet(server, { flags = "RST", count = 0 })
