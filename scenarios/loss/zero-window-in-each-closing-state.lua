-- SPDX-License-Identifier: MIT
scenario {
	title = "A shut window in CLOSE_WAIT, LAST_ACK and CLOSING",
	source = "RFC 9293 3.8.6.1; Linux tcp_probe_timer(), tcp_send_fin(): the FIN waits behind the data",
	rfc = "3.8.6.1",
	loss = false, -- a lost probe doubles the wait for the next
	shows = [[The client does not read, and has closed its side: the server's data cannot leave. LAST_ACK and CLOSING
then mean that close() was called, not that a FIN was sent; the window is probed meanwhile.]],
}

server:sysctl("ipv4/tcp_rto_min_us", 20000, { optional = true })
local listener = server:listen()
local function stuffed()
	local c = client:process("slow"):socket()
	c:set("SO_RCVBUF", 4096)
	c:connect(server, server.port)
	local s = listener:accept()
	s:nonblocking()
	s:write(200000)
	wire.quiet()
	return c, s
end
-- Nothing but probes comes from the server while the window is shut.
local function probed(count)
	local probe = wire.watch { from = server, flags = "ACK", without = "FIN", data = false }
	probe:caught(count)
	probe:stop()
end
local function read_all(socket)
	repeat until socket:read(4096) == ""
end

local c, s = stuffed()
c:shutdown("write")
expect(server, "CLOSE_WAIT", { orphan = false, timer = true })
step("CLOSE_WAIT.")
probed(2) -- one may be the ACK of the FIN
s:close()
expect(server, "LAST_ACK", { orphan = true, timer = true })
step("LAST_ACK.")
probed()
expect_packet(server, { flags = "FIN", count = 0 })
observe("LAST_ACK, though no FIN was sent.")
read_all(c)
expect(server, "gone")
expect(client, "TIME_WAIT")

c, s = stuffed()
s:close()
expect(server, "FIN_WAIT_1", { connection = 2, orphan = true })
step("FIN_WAIT_1, and then CLOSING.")
probed()
c:shutdown("write")
expect(server, "CLOSING", { connection = 2, orphan = true, timer = true })
probed()
read_all(c)
expect(server, "TIME_WAIT", { connection = 2 })
